// The npm package dicomweb-client through every method it has: one instance retrieved, or files stored; prints what came.
//   node client.mjs read      DICOMWEB_STUDY, _SERIES and _INSTANCE name it
//   node client.mjs store FILE…
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
globalThis.XMLHttpRequest = require("xhr2");
const { api } = require("dicomweb-client");

const { DICOMWEB_URL, DICOMWEB_TOKEN, DICOMWEB_STUDY, DICOMWEB_SERIES, DICOMWEB_INSTANCE } = process.env;
const options = { headers: { Authorization: `Bearer ${DICOMWEB_TOKEN}` }, verbose: false };
const called = new Set();
const client = watch(new api.DICOMwebClient({ url: DICOMWEB_URL, ...options }));
const study = { studyInstanceUID: DICOMWEB_STUDY };
const series = { ...study, seriesInstanceUID: DICOMWEB_SERIES };
const instance = { ...series, sopInstanceUID: DICOMWEB_INSTANCE };

// The client, which notes what of it is called.
function watch(made) {
  return new Proxy(made, {
    get(target, name) {
      if (typeof target[name] === "function") called.add(name);
      return target[name];
    },
  });
}

const bytes = (buffer) => Buffer.from(buffer).toString("base64");
const all = (buffers) => buffers.map(bytes);

async function search() {
  return {
    studies: await client.searchForStudies({ queryParams: { StudyInstanceUID: DICOMWEB_STUDY, limit: 5 } }),
    nothing: await client.searchForStudies({ queryParams: { PatientID: "none" } }),
    seriesFound: await client.searchForSeries(study),
    instances: await client.searchForInstances({ ...series, queryParams: { SOPInstanceUID: DICOMWEB_INSTANCE } }),
    anyInstances: await client.searchForInstances({ queryParams: { SOPInstanceUID: DICOMWEB_INSTANCE } }),
  };
}

async function retrieve() {
  const [metadata] = await client.retrieveInstanceMetadata(instance);
  const BulkDataURI = metadata["7FE00010"].BulkDataURI;
  return {
    metadata,
    studyMetadata: await client.retrieveStudyMetadata(study),
    seriesMetadata: await client.retrieveSeriesMetadata(series),
    study: all(await client.retrieveStudy(study)),
    series: all(await client.retrieveSeries(series)),
    instance: bytes(await client.retrieveInstance(instance)),
    frames: all(await client.retrieveInstanceFrames({ ...instance, frameNumbers: [2, 1] })),
    framesAsRle: all(await frames("image/x-dicom-rle", "1.2.840.10008.1.2.5")),
    framesAsJpegLs: all(await frames("image/jls", "1.2.840.10008.1.2.4.80")),
    framesAsOldJpegLs: all(await frames("image/x-jls", "1.2.840.10008.1.2.4.80")),
    bulkData: all(await client.retrieveBulkData({ BulkDataURI })),
    icc: all(await client.retrieveBulkData({ BulkDataURI: metadata["00282000"].BulkDataURI })),
  };
}

const frames = (mediaType, transferSyntaxUID) =>
  client.retrieveInstanceFrames({ ...instance, frameNumbers: [1], mediaTypes: [{ mediaType, transferSyntaxUID }] });

async function render() {
  const jpeg = { ...instance, mediaTypes: [{ mediaType: "image/jpeg" }] };
  const png = { ...instance, mediaTypes: [{ mediaType: "image/png" }] };
  const pictures = {
    rendered: await client.retrieveInstanceRendered({ ...jpeg, queryParams: { quality: 80 } }),
    renderedPng: await client.retrieveInstanceRendered(png),
    thumbnail: await client.retrieveInstanceThumbnail({ ...jpeg, queryParams: { viewport: "4,4" } }),
    frameRendered: await client.retrieveInstanceFramesRendered({ ...jpeg, frameNumbers: [1] }),
    frameThumbnail: await client.retrieveInstanceFramesThumbnail({ ...jpeg, frameNumbers: [1] }),
  };
  return Object.fromEntries(Object.entries(pictures).map(([name, picture]) => [name, all([picture].flat())]));
}

// WADO-URI has an address of its own beside DICOMweb's.
async function byUri() {
  const beside = watch(
    new api.DICOMwebClient({ url: DICOMWEB_URL.replace("/dicom-web", ""), wadoURLPrefix: "wado", ...options }),
  );
  const answer = await fetch(beside.buildInstanceWadoURIUrl(instance), { headers: options.headers });
  return { byUri: bytes(await answer.arrayBuffer()) };
}

function settings() {
  client.setDebug(false);
  client.setVerbose(false);
  return { debug: client.getDebug(), verbose: client.getVerbose() };
}

const datasets = process.argv.slice(3).map((path) => new Uint8Array(readFileSync(path)).buffer);
const found =
  process.argv[2] === "store"
    ? { stored: await client.storeInstances({ datasets }) }
    : { ...settings(), ...(await search()), ...(await retrieve()), ...(await render()), ...(await byUri()) };
const has = Object.getOwnPropertyNames(api.DICOMwebClient.prototype);
found.missed = has.filter((name) => name !== "constructor" && !name.startsWith("_") && !called.has(name));
console.log(JSON.stringify(found));
