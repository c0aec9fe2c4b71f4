// Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
// The page: one current frame, shown by everything.

const find = id => document.getElementById(id);
const data = JSON.parse(find('data').textContent);
const pictures = new Pictures(
  JSON.parse(find('pictures').textContent), data.every);
const loading = new Map(); // promises of the heads that were chosen
const parts = {};
const state = {frame: 0, track: 0, head: null, playing: false};

function makeParts() {
  const {numFrames} = data;
  parts.screen = new Screen(find('video'), find('video-note'));
  parts.lanes = ['strip', 'curves'].map(
    id => new Lane(find(id), numFrames, jump));
  parts.strip = new FilmStrip(parts.lanes[0], pictures, numFrames);
  parts.curves = new Curves(parts.lanes[1], find('legend'));
  try {
    parts.stage = new Stage(find('head'));
  } catch {
    find('head-note').textContent =
      'This browser shows no 3D: WebGL 2 is switched off or missing.';
  }
}

/** Show a frame in every part of the page at once, when it is decoded. */
async function show(frame) {
  state.frame = Math.max(0, Math.min(data.numFrames - 1, frame));
  const wanted = state.frame;
  const picture = await pictures.at(wanted);
  if (wanted !== state.frame) return; // another one is wanted meanwhile
  parts.screen.show(picture);
  for (const lane of parts.lanes) lane.show(state.frame);
  parts.curves.show(state.frame);
  find('scrubber').value = state.frame;
  const seconds = (state.frame / data.fps).toFixed(2);
  const name = data.names[state.frame];
  find('clock').textContent = `frame ${state.frame} of 0 – ` +
    `${data.numFrames - 1}, ${seconds} s${name ? `, ${name}` : ''}`;
  showHead();
  state.shown = wanted;
}

function showHead() {
  const {head} = state;
  if (!head) return;
  const there = parts.curves.columns.has(state.frame);
  find('head-note').textContent = there ? '' : 'no face here in this frame';
  head.scene.visible = there;
  head.show(state.frame / data.fps);
  parts.stage.render();
}

/** Go to a frame; the clock goes on from there. */
function jump(frame) {
  state.since = performance.now();
  show(frame);
  state.start = state.frame;
}

function play(playing) {
  state.playing = playing;
  find('play').textContent = playing ? 'pause' : 'play';
  if (!playing) return;
  jump(state.frame === data.numFrames - 1 ? 0 : state.frame);
  cancelAnimationFrame(state.request);
  state.request = requestAnimationFrame(tick);
}

/** Frames follow the clock: slow machines leave out some. */
function tick(now) {
  if (!state.playing) return;
  state.request = requestAnimationFrame(tick);
  if (state.shown !== state.frame) return; // it is still being decoded
  const passed = Math.max(0, now - state.since) / 1000;
  const frame = state.start + Math.floor(
    passed * data.fps * Number(find('speed').value));
  if (frame >= data.numFrames) jump(0);
  else if (frame !== state.frame) show(frame);
}

function chooseGroup() {
  const group = find('group').selectedIndex;
  const track = data.tracks[state.track];
  parts.curves.choose(data.groups[group], track.frames,
                      track.values[group]);
  parts.curves.show(state.frame);
}

function headOf(index) {
  if (!loading.has(index)) {
    loading.set(index, Head.load(
      bytesOf(find(`head-${index}`).textContent)));
  }
  return loading.get(index);
}

async function chooseTrack(index) {
  state.track = index;
  state.head = null;
  parts.stage?.put(null);
  chooseGroup();
  show(state.frame);
  if (!parts.stage) return;
  find('head-note').textContent = 'reading the head …';
  try {
    const head = await headOf(index);
    if (state.track !== index) return; // another one was chosen meanwhile
    state.head = head;
    parts.stage.put(head);
    parts.stage.front();
    look();
    showHead();
  } catch (error) {
    find('head-note').textContent =
      `This head cannot be shown: ${error.message}`;
  }
}

function look() {
  const {head} = state;
  if (!head) return;
  const names = ['texture', 'detail', 'wireframe'];
  head.look(Object.fromEntries(
    names.map(name => [name, find(name).checked])));
  find('texture').parentElement.hidden = !head.hasTexture;
  find('detail').parentElement.hidden = !head.hasDetail;
  parts.stage.render();
}

function fillChoices() {
  find('scrubber').max = data.numFrames - 1;
  find('track').append(...data.tracks.map(
    (track, i) => new Option(`${track.id} (${track.frames.length} frames)`,
                             i)));
  find('track-choice').hidden = data.tracks.length < 2;
  find('group').append(...data.groups.map(group => new Option(group.name)));
}

function listen() {
  find('play').onclick = () => play(!state.playing);
  find('scrubber').oninput = event => jump(Number(event.target.value));
  find('speed').onchange = () => jump(state.frame);
  find('track').onchange = event => chooseTrack(Number(event.target.value));
  find('group').onchange = chooseGroup;
  find('front').onclick = () => parts.stage?.front();
  for (const name of ['texture', 'detail', 'wireframe']) {
    find(name).onchange = look;
  }
  document.addEventListener('keydown', event => {
    const {tagName, type} = event.target;
    const pressed = event.key === ' ' && (
      tagName === 'BUTTON' || type === 'checkbox');
    if (tagName === 'SELECT' || pressed || event.ctrlKey || event.metaKey) {
      return;
    }
    const moves = {ArrowLeft: state.frame - 1, ArrowRight: state.frame + 1,
                   Home: 0, End: data.numFrames - 1};
    if (event.key === ' ') play(!state.playing);
    else if (event.key in moves) jump(moves[event.key]);
    else return;
    event.preventDefault();
  });
  window.addEventListener('hashchange', fromAddress);
}

/** Go to the frame of an address that ends in #12. */
function fromAddress() {
  const frame = parseInt(location.hash.slice(1), 10);
  if (frame >= 0) jump(frame);
}

makeParts();
fillChoices();
listen();
chooseTrack(0);
fromAddress();
