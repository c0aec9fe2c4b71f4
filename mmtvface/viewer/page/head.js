// Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
// The animated head, and what is switched on and off of it.

const GREY = .36; // linear, of a head without its texture

/** A track's .glb file: a skinned mesh with morph targets and keyframes. */
class Head {
  static async load(bytes) {
    const loader = new THREE.GLTFLoader();
    return new Head(await loader.parseAsync(bytes.buffer, ''));
  }

  constructor(gltf) {
    this.scene = gltf.scene;
    this.scene.traverse(node => {
      if (node.isSkinnedMesh) this.mesh = node;
    });
    this.mesh.frustumCulled = false; // its box is that of the neutral head
    const {map, normalMap} = this.mesh.material;
    this.images = {map, normalMap};
    Object.assign(this.mesh.material, {
      polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1});
    this.lines = this.wireframe();
    const clip = gltf.animations[0];
    clip.duration += 1; // or the last keyframe would be the first again
    this.mixer = new THREE.AnimationMixer(this.scene);
    this.mixer.clipAction(clip).play();
  }

  /** The edges, moved by the same weights and bones. */
  wireframe() {
    const lines = new THREE.SkinnedMesh(
      this.mesh.geometry, new THREE.MeshBasicMaterial({
        wireframe: true, color: 0x1d4f91, transparent: true, opacity: .35}));
    lines.bind(this.mesh.skeleton, this.mesh.bindMatrix);
    lines.morphTargetInfluences = this.mesh.morphTargetInfluences;
    lines.frustumCulled = false;
    this.mesh.parent.add(lines);
    return lines;
  }

  get hasTexture() { return Boolean(this.images.map); }
  get hasDetail() { return Boolean(this.images.normalMap); }

  show(seconds) { this.mixer.setTime(seconds); }

  look({texture, detail, wireframe}) {
    const {material} = this.mesh;
    const textured = texture && this.hasTexture;
    material.map = textured ? this.images.map : null;
    material.normalMap = detail ? this.images.normalMap : null;
    material.color.setScalar(textured ? 1 : GREY);
    material.needsUpdate = true;
    this.lines.visible = wireframe;
  }
}

/** Rows and columns of cells in which heads are as large as can be. */
function layout(count, width, height) {
  let best = {columns: 1, rows: 1}, largest = 0;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const side = Math.min(width / columns, height / rows);
    if (side > largest) [largest, best] = [side, {columns, rows}];
  }
  return best;
}

/** Camera and light around heads, each in a cell of its own. */
class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.heads = [];
    this.cells = {columns: 1, rows: 1};
    this.renderer = new THREE.WebGLRenderer({canvas, antialias: true});
    this.renderer.setClearColor(0x24272d);
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(20, 1, .01, 20);
    this.scene.add(this.camera, new THREE.HemisphereLight(
      0xffffff, 0x9aa0a8, 1.3));
    const lamp = new THREE.DirectionalLight(0xffffff, 1.9);
    lamp.position.set(-.5, .6, 1);
    this.camera.add(lamp, lamp.target); // it stands beside the viewer
    lamp.target.position.set(0, 0, -1);
    this.controls = new THREE.OrbitControls(this.camera, canvas);
    this.controls.addEventListener('change', () => this.render());
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  /** Show these heads from left to right, or none. */
  put(heads) {
    for (const head of this.heads) this.scene.remove(head.scene);
    this.heads = heads;
    for (const head of heads) this.scene.add(head.scene);
    this.render();
  }

  /** Look from the front at a head, which is as large as fits. */
  front(head) {
    if (!head) return;
    // Not the geometry's own box, which holds all morph targets at once.
    const {position} = head.mesh.geometry.attributes;
    const {center, radius} = new THREE.Box3().setFromBufferAttribute(
      position).getBoundingSphere(new THREE.Sphere());
    this.controls.target.copy(center);
    const half = this.camera.fov / 360 * Math.PI;
    const distance = .85 * radius / Math.sin(half);
    this.camera.position.copy(center).add(
      new THREE.Vector3(0, 0, distance));
    this.controls.update();
    this.render();
  }

  resize() {
    const {clientWidth: width, clientHeight: height} = this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.render();
  }

  /** All heads are seen by the same camera, which turns about each. */
  render() {
    const {renderer, camera, scene, heads, canvas} = this;
    const {clientWidth: width, clientHeight: height} = canvas;
    if (!width || !height) return;
    const {columns, rows} = this.cells = layout(heads.length, width, height);
    const cell = [width / columns, height / rows];
    camera.aspect = cell[0] / cell[1];
    camera.zoom = Math.min(1, camera.aspect); // narrow cells show it whole
    camera.updateProjectionMatrix();
    renderer.setScissorTest(false);
    renderer.clear();
    renderer.setScissorTest(true);
    heads.forEach((head, i) => {
      const place = [i % columns * cell[0],
                     (rows - 1 - Math.floor(i / columns)) * cell[1], ...cell];
      renderer.setViewport(...place);
      renderer.setScissor(...place);
      for (const other of heads) other.scene.visible = other === head;
      renderer.render(scene, camera);
    });
  }
}
