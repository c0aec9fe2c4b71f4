// Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
// Frames of the video and of the video strip.

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** JPEGs that are decoded shortly before they are shown. */
class Pictures {
  /**
   * @param {Array<string|null>} encoded base64, null where there is none.
   * @param {number} every frames from one picture to the next.
   */
  constructor(encoded, every) {
    this.encoded = encoded;
    this.every = every;
    this.decoded = new Map(); // the least recently used first
  }

  indexOf(frame) {
    return Math.min(Math.floor(frame / this.every), this.encoded.length - 1);
  }

  /** Promise of an ImageBitmap, or of null where there is no picture. */
  load(index) {
    let picture = this.decoded.get(index);
    this.decoded.delete(index);
    picture ??= this.decode(index);
    this.decoded.set(index, picture);
    if (this.decoded.size > 48) {
      this.decoded.delete(this.decoded.keys().next().value);
    }
    return picture;
  }

  /** The picture of a frame; those that follow are decoded already. */
  at(frame) {
    const index = this.indexOf(frame);
    const end = Math.min(index + 6, this.encoded.length);
    const picture = this.load(index);
    for (let i = index + 1; i < end; i++) this.load(i);
    return picture;
  }

  async decode(index) {
    const data = this.encoded[index];
    if (!data) return null;
    return createImageBitmap(new Blob([bytesOf(data)], {type: 'image/jpeg'}));
  }
}

/** Shows the picture of the current frame. */
class Screen {
  constructor(canvas, note) {
    this.canvas = canvas;
    this.note = note;
  }

  show(picture) {
    this.note.textContent = picture ? '' : 'this frame cannot be read';
    if (!picture || picture === this.picture) return;
    this.picture = picture;
    this.canvas.width = picture.width;
    this.canvas.height = picture.height;
    this.canvas.getContext('2d').drawImage(picture, 0, 0);
  }
}

/** A row of small pictures over the whole time. */
class FilmStrip {
  constructor(lane, pictures, numFrames) {
    this.lane = lane;
    this.pictures = pictures;
    this.numFrames = numFrames;
    lane.onresize = () => this.draw();
  }

  async draw() {
    const {canvas, width, height} = this.lane;
    const first = await this.firstPicture();
    if (!first) return;
    const context = this.lane.context();
    const thumb = height * first.width / first.height;
    const count = Math.max(
      1, Math.min(this.numFrames, Math.round(width / thumb)));
    const slot = width / count;
    for (let i = 0; i < count; i++) {
      const frame = Math.floor((i + .5) / count * this.numFrames);
      const picture = await this.pictures.decode(
        this.pictures.indexOf(frame));
      if (!picture) continue;
      if (this.lane.width !== width) return; // it is drawn anew
      const zoom = Math.min(slot / picture.width, height / picture.height);
      const size = [picture.width * zoom, picture.height * zoom];
      context.drawImage(picture, i * slot + (slot - size[0]) / 2,
                        (height - size[1]) / 2, ...size);
      picture.close();
    }
    canvas.dataset.thumbs = count;
  }

  firstPicture() {
    const index = this.pictures.encoded.findIndex(data => data);
    return index < 0 ? null : this.pictures.load(index);
  }
}
