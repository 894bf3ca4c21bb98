
// The webcam, classified live. Nothing is requested before its button is pressed; leaving the tab closes it.

const video = find(".drop video");
const PERIOD = 500; // milliseconds between two classifications
const SIDE = 256; // pixels per side of the square that is sent: the network sees far fewer
const REASONS = {
  NotAllowedError: "The browser does not allow this page to use the webcam. Allow it in the browser's address bar, then try again.",
  NotFoundError: "No webcam was found. Connect one, or choose an image instead.",
  NotReadableError: "The webcam is used by another program. Close that, then try again.",
};
let stream = null;

async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    return tell("Browsers allow a webcam only for pages over HTTPS or on this machine. Choose an image instead.");
  }
  const mine = ++job;
  let camera;
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    if (mine !== job) return;
    return tell(REASONS[error.name] ?? `The webcam could not be opened: ${error.message}`);
  }
  if (mine !== job) return camera.getTracks().forEach((track) => track.stop()); // something else was chosen meanwhile
  stream = camera;
  items = [];
  answers.replaceChildren();
  video.srcObject = stream;
  show("live");
  find(".close-camera").focus();
  await video.play();
  while (stream && mine === job) {
    const next = performance.now() + PERIOD;
    if (!video.checkVisibility()) return closeCamera("empty");
    if (stream.getVideoTracks()[0].readyState === "ended") return closeCamera("empty"), tell("The webcam was disconnected.");
    const item = frame();
    await classify([item]);
    if (!stream || mine !== job) return;
    items = [item];
    draw(item, preview);
    await new Promise((done) => setTimeout(done, Math.max(0, next - performance.now())));
  }
}

function frame() {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const edge = Math.min(video.videoWidth, video.videoHeight);
  const [left, top] = [(video.videoWidth - edge) / 2, (video.videoHeight - edge) / 2];
  canvas.getContext("2d").drawImage(video, left, top, edge, edge, 0, 0, SIDE, SIDE);
  const url = canvas.toDataURL("image/jpeg", 0.9);
  return { name: "webcam.jpg", sent: { frame: url, name: "webcam.jpg" }, url };
}

function closeCamera(mode) {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = video.srcObject = null;
  if (mode) {
    items = [];
    answers.replaceChildren();
    show(mode);
  }
}

find(".open-camera").addEventListener("click", openCamera);
find(".close-camera").addEventListener("click", () => {
  job++;
  closeCamera("empty");
  find(".open-camera").focus();
});
find(".keep").addEventListener("click", () => items.length && start(items));
