// Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
// What runs along the time: the lanes of video strip and curves.

/** A canvas as wide as all frames, with a cursor; a click is a frame. */
class Lane {
  constructor(element, numFrames, onPick) {
    this.canvas = element.querySelector('canvas');
    this.cursor = element.querySelector('.cursor');
    this.numFrames = numFrames;
    this.onresize = () => {};
    const pick = event => {
      const box = element.getBoundingClientRect();
      const place = (event.clientX - box.left) / box.width;
      onPick(Math.floor(place * numFrames));
    };
    element.addEventListener('pointerdown', event => {
      element.setPointerCapture(event.pointerId);
      pick(event);
    });
    element.addEventListener('pointermove', event => {
      if (event.buttons & 1) pick(event);
    });
    new ResizeObserver(() => this.onresize()).observe(element);
  }

  get width() { return this.canvas.clientWidth; }
  get height() { return this.canvas.clientHeight; }

  /** A cleared 2D context whose unit is a CSS pixel. */
  context() {
    const scale = window.devicePixelRatio;
    this.canvas.width = this.width * scale;
    this.canvas.height = this.height * scale;
    const context = this.canvas.getContext('2d');
    context.scale(scale, scale);
    return context;
  }

  show(frame) {
    this.cursor.style.left = `${(frame + .5) / this.numFrames * 100}%`;
  }
}

const COLOURS = ['#6cb2ff', '#ff8f6b', '#7ddc8a', '#e2a0ff', '#ffd75e',
                 '#62e0d9', '#ff8fb8', '#b7bfcc'];

/** Curves of one group of codes of one face. */
class Curves {
  /**
   * @param {Lane} lane where they are drawn.
   * @param {Element} legend names and values of the current frame.
   */
  constructor(lane, legend) {
    this.lane = lane;
    this.legend = legend;
    lane.onresize = () => this.draw();
  }

  /**
   * @param {{labels: string[], unit: string}} group
   * @param {number[]} frames of the face, ascending.
   * @param {number[][]} values one row per label, one column per frame.
   */
  choose(group, frames, values) {
    this.group = group;
    this.frames = frames;
    this.values = values;
    this.columns = new Map(frames.map((frame, column) => [frame, column]));
    const [low, high] = this.limits = this.range();
    // Three digits of what is seen to change.
    this.digits = Math.max(0, Math.min(5, 2 - Math.floor(
      Math.log10(high - low))));
    this.legend.replaceChildren(...group.labels.map((label, i) => {
      const entry = document.createElement('span');
      entry.style.color = COLOURS[i];
      return entry;
    }));
    this.draw();
  }

  show(frame) {
    const column = this.columns.get(frame);
    this.group.labels.forEach((label, i) => {
      const value = column === undefined ? '–'
        : this.text(this.values[i][column]);
      this.legend.children[i].textContent = `${label} ${value}`;
    });
  }

  text(value) { return value.toFixed(this.digits) + this.group.unit; }

  /** Least and greatest value, a little apart even if all are the same. */
  range() {
    let low = Infinity, high = -Infinity;
    for (const row of this.values) {
      for (const value of row) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    const margin = Math.max((high - low) * .08, 1e-4);
    return [low - margin, high + margin];
  }

  draw() {
    if (!this.group) return;
    const {width, height, numFrames} = this.lane;
    const context = this.lane.context();
    const [low, high] = this.limits;
    const x = frame => (frame + .5) / numFrames * width;
    const y = value => (high - value) / (high - low) * height;
    if (low < 0 && high > 0) {
      context.fillStyle = '#4a4f59';
      context.fillRect(0, y(0), width, 1);
    }
    this.values.forEach((row, i) => {
      context.strokeStyle = context.fillStyle = COLOURS[i];
      context.lineWidth = 1.5;
      context.beginPath();
      row.forEach((value, column) => {
        const frame = this.frames[column];
        const follows = this.frames[column - 1] === frame - 1;
        const leads = this.frames[column + 1] === frame + 1;
        // A frame that stands alone is a dot: a line of no length is unseen.
        if (!follows && !leads) {
          context.fillRect(x(frame) - 1.5, y(value) - 1.5, 3, 3);
        }
        context[follows ? 'lineTo' : 'moveTo'](x(frame), y(value));
      });
      context.stroke();
    });
    context.fillStyle = '#a7adb8';
    context.font = '11px system-ui, sans-serif';
    context.fillText(this.text(high), 4, 12);
    context.fillText(this.text(low), 4, height - 4);
  }
}
