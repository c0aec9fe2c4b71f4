// Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
// What the viewer needs of three.js; the build leaves out the rest.
export {
  AnimationMixer,
  Box3,
  DirectionalLight,
  HemisphereLight,
  MeshBasicMaterial,
  PerspectiveCamera,
  Scene,
  SkinnedMesh,
  Sphere,
  Vector3,
  WebGLRenderer,
} from 'three';
export { OrbitControls } from 'three/addons/controls/OrbitControls.js';
export { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
