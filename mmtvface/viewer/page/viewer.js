// Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
// The page: one current frame, shown by everything.

const find = id => document.getElementById(id);
const data = JSON.parse(find('data').textContent);
const pictures = new Pictures(
  JSON.parse(find('pictures').textContent), data.every);
const faces = new Faces(data.tracks);
const parts = {};
const state = {frame: 0, track: 0, playing: false};

function makeParts() {
  const {numFrames} = data;
  parts.screen = new Screen(find('video'), find('video-note'));
  parts.lanes = ['strip', 'curves'].map(
    id => new Lane(find(id), numFrames, jump));
  parts.strip = new FilmStrip(parts.lanes[0], pictures, numFrames);
  parts.curves = new Curves(parts.lanes[1], find('legend'));
  try {
    parts.stage = new Stage(find('head'));
    // After the stage's own observer: names follow the cells.
    new ResizeObserver(showHeads).observe(find('head'));
  } catch {
    find('head-note').textContent =
      'This browser shows no 3D: WebGL 2 is switched off or missing.';
  }
}

/** Time of a frame, also of the end. */
function seconds(frame) {
  if (!data.times) return frame / data.fps;
  return data.times[frame] ?? data.times.at(-1) + 1 / data.fps;
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
  const name = data.names[state.frame];
  find('clock').textContent = `frame ${state.frame} of 0 – ` +
    `${data.numFrames - 1}, ${seconds(state.frame).toFixed(2)} s${name ? `, ${name}` : ''}`;
  showHeads();
  state.shown = wanted;
}

/** The heads of the chosen face, or of all that are in the frame. */
function showHeads() {
  if (!parts.stage) return;
  const together = find('together').checked;
  const there = together ? faces.in(state.frame)
    : [state.track].filter(face => faces.has(face, state.frame));
  const needed = together ? there : [state.track];
  const missing = needed.filter(face => !faces.isRead(face));
  for (const face of missing) {
    if (!faces.loading.has(face)) faces.load(face).then(headIsRead);
  }
  const shown = there.filter(face => faces.heads.has(face));
  const heads = shown.map(face => faces.heads.get(face));
  for (const head of heads) head.show(seconds(state.frame));
  parts.stage.put(heads);
  const bad = needed.find(face => faces.failed.has(face));
  find('head-note').textContent = missing.length ? 'reading the head …'
    : bad !== undefined
      ? `This head cannot be shown: ${faces.failed.get(bad)}`
      : there.length ? '' : 'no face here in this frame';
  showNames(together ? shown : []);
}

/** Names of the faces over their heads; a click chooses the curves. */
function showNames(shown) {
  const {columns, rows} = parts.stage.cells;
  const element = find('names');
  const content = [columns, rows, state.track, ...shown].join();
  if (element.dataset.content === content) return; // or clicks would be lost
  element.dataset.content = content;
  element.style.gridTemplate = `repeat(${rows}, 1fr) / ` +
    `repeat(${columns}, 1fr)`;
  element.replaceChildren(...shown.map(face => {
    const name = document.createElement('button');
    name.textContent = `face ${data.tracks[face].id}`;
    name.classList.toggle('chosen', face === state.track);
    name.onclick = () => {
      find('track').value = face;
      chooseTrack(face);
    };
    return name;
  }));
}

function headIsRead() {
  if (!state.turned) front();
  look();
  showHeads();
}

/** Look from the front at what is shown. */
function front() {
  const head = faces.heads.get(state.track) ??
    [...faces.heads.values()][0];
  parts.stage?.front(head);
  state.turned = Boolean(head) && (
    find('together').checked || faces.heads.has(state.track));
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
  const time = seconds(state.start) + passed * Number(find('speed').value);
  let frame = state.frame;
  while (frame < data.numFrames && seconds(frame + 1) <= time) frame++;
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

function chooseTrack(index) {
  state.track = index;
  if (!find('together').checked) {
    state.turned = false;
    if (faces.heads.has(index)) front();
  }
  chooseGroup();
  look();
  show(state.frame);
  showHeads();
}

function look() {
  const heads = [...faces.heads.values()];
  if (!heads.length) return;
  const names = ['texture', 'detail', 'wireframe'];
  for (const head of heads) {
    head.look(Object.fromEntries(
      names.map(name => [name, find(name).checked])));
  }
  const any = part => heads.some(head => head[part]);
  find('texture').parentElement.hidden = !any('hasTexture');
  find('detail').parentElement.hidden = !any('hasDetail');
  parts.stage.render();
}

function fillChoices() {
  find('scrubber').max = data.numFrames - 1;
  find('track').append(...data.tracks.map(
    (track, i) => new Option(`${track.id} (${track.frames.length} frames)`,
                             i)));
  find('track-choice').hidden = data.tracks.length < 2;
  find('together').parentElement.hidden = !data.together;
  find('together').checked = data.together;
  find('group').append(...data.groups.map(group => new Option(group.name)));
}

function listen() {
  find('play').onclick = () => play(!state.playing);
  find('scrubber').oninput = event => jump(Number(event.target.value));
  find('speed').onchange = () => jump(state.frame);
  find('track').onchange = event => chooseTrack(Number(event.target.value));
  find('group').onchange = chooseGroup;
  find('together').onchange = () => chooseTrack(state.track);
  find('front').onclick = front;
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
