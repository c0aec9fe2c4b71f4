// Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
// Who is in a frame, and the heads of those who are.

/** Faces of the result, by their positions in `data.tracks`. */
class Faces {
  constructor(tracks) {
    this.tracks = tracks;
    this.columns = tracks.map(({frames}) => new Map(
      frames.map((frame, column) => [frame, column])));
    this.heads = new Map(); // those that are loaded
    this.failed = new Map(); // what is wrong with others
    this.loading = new Set(); // those that were begun
  }

  has(face, frame) { return this.columns[face].has(frame); }

  /** Those in a frame, from left to right. */
  in(frame) {
    const place = face => this.tracks[face].x?.[
      this.columns[face].get(frame)] ?? face;
    return this.tracks.map((_, face) => face)
      .filter(face => this.has(face, frame))
      .sort((a, b) => place(a) - place(b));
  }

  /** Read a head; the promise never fails. */
  async load(face) {
    this.loading.add(face);
    try {
      this.heads.set(face, await Head.load(
        bytesOf(find(`head-${face}`).textContent)));
    } catch (error) {
      this.failed.set(face, error.message);
    }
  }

  isRead(face) { return this.heads.has(face) || this.failed.has(face); }
}
