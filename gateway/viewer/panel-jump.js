// Brings a region of an image into view, by OHIF's services.
const PATIENCE = 5000; // milliseconds for an image to be drawn
const ROOM = 2; // half the height of the view, in sizes of the region
const LEAST = 30; // the same in millimetres: a point is not looked at alone

/** Show the image and the frame of a region, and its middle in the middle. Whether that could be done. */
export async function jumpTo(services, region) {
  const shown = services && place(services, region);
  if (!shown) return false;
  const viewport = await drawn(services, shown, region);
  if (!viewport) return false;
  centre(viewport, region);
  return true;
}

/** The viewport that shows the image already, or else the active one, which is told to. */
function place({ displaySetService, viewportGridService }, region) {
  const isOf = (each) =>
    [...(each.images ?? []), ...(each.instances ?? [])].some((one) => one.SOPInstanceUID === region.sop_instance_uid);
  const displaySet = displaySetService.getActiveDisplaySets().find(isOf);
  if (!displaySet) return undefined;
  const { viewports, activeViewportId } = viewportGridService.getState();
  const uid = displaySet.displaySetInstanceUID;
  const found = [...viewports.values()].find((each) => each.displaySetInstanceUIDs?.includes(uid));
  const viewportId = found?.viewportId ?? activeViewportId;
  if (found) viewportGridService.setActiveViewportId(viewportId);
  else viewportGridService.setDisplaySetsForViewport({ viewportId, displaySetInstanceUIDs: [uid] });
  return viewportId;
}

/** The viewport once it draws the region's frame; undefined where that does not come about. */
async function drawn({ cornerstoneViewportService }, viewportId, region) {
  const end = performance.now() + PATIENCE;
  while (performance.now() < end) {
    const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportId);
    const index = viewport?.getImageIds?.().findIndex((each) => isOf(each, region)) ?? -1;
    if (index >= 0) {
      if (viewport.getCurrentImageIdIndex() !== index) await viewport.setImageIdIndex(index);
      if (viewport.getImageData()?.imageData) return viewport;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return undefined;
}

function isOf(imageId, region) {
  const found = /\/instances\/([0-9.]+)\/frames\/([0-9]+)/.exec(imageId);
  return found?.[1] === region.sop_instance_uid && Number(found[2]) === region.frame;
}

function centre(viewport, region) {
  const { imageData } = viewport.getImageData();
  const columns = region.points.map(([column]) => column);
  const rows = region.points.map(([, row]) => row);
  const [left, right] = [Math.min(...columns), Math.max(...columns)];
  const [top, bottom] = [Math.min(...rows), Math.max(...rows)];
  // Points count from the image's corner, indices from the middle of its first pixel.
  const world = imageData.indexToWorld([(left + right) / 2 - 0.5, (top + bottom) / 2 - 0.5, 0]);
  const [a, b] = [imageData.indexToWorld([left, top, 0]), imageData.indexToWorld([right, bottom, 0])];
  const size = Math.max(...a.map((each, axis) => Math.abs(each - b[axis])));
  const { focalPoint, position, parallelScale } = viewport.getCamera();
  const moved = position.map((each, axis) => each - focalPoint[axis] + world[axis]);
  const camera = { focalPoint: [...world], position: moved };
  camera.parallelScale = Math.min(parallelScale, Math.max(ROOM * size, LEAST));
  viewport.setCamera(camera);
  viewport.render();
}
