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
    this.mesh.frustumCulled = false; // its box is that of the head at rest
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

/** Camera and light around a head. */
class Stage {
  constructor(canvas) {
    this.canvas = canvas;
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

  /** Show another head, or none. */
  put(head) {
    if (this.head) this.scene.remove(this.head.scene);
    this.head = head;
    if (head) this.scene.add(head.scene);
    this.render();
  }

  /** Look at the head from the front, as large as fits. */
  front() {
    if (!this.head) return;
    // Not the geometry's own box, which holds all morph targets at once.
    const {position} = this.head.mesh.geometry.attributes;
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
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.render();
  }

  render() { this.renderer.render(this.scene, this.camera); }
}
