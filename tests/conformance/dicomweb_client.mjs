// The npm package dicomweb-client through its searches, retrievals and what it stores; prints what came as JSON.
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
globalThis.XMLHttpRequest = require("xhr2");
const { api } = require("dicomweb-client");

const client = new api.DICOMwebClient({
  url: process.env.DICOMWEB_URL,
  headers: { Authorization: `Bearer ${process.env.DICOMWEB_TOKEN}` },
});
const uids = { studyInstanceUID: "1.1", seriesInstanceUID: "1.1.1", sopInstanceUID: "1.1.1.1" };
const found = {
  studies: (await client.searchForStudies({ queryParams: { PatientID: "P1" } })).length,
  series: (await client.searchForSeries({ studyInstanceUID: "1.1" })).length,
  instances: (await client.searchForInstances({ studyInstanceUID: "1.1", queryParams: { Rows: "4" } })).length,
  nothing: await client.searchForStudies({ queryParams: { PatientID: "none" } }),
  studyMetadata: (await client.retrieveStudyMetadata(uids)).length,
  seriesMetadata: (await client.retrieveSeriesMetadata(uids)).length,
  rows: (await client.retrieveInstanceMetadata(uids))[0]["00280010"].Value[0],
  study: (await client.retrieveStudy({ studyInstanceUID: "1.2" })).length,
  series_: (await client.retrieveSeries(uids)).length,
  instance: (await client.retrieveInstance(uids)).byteLength,
  frames: (await client.retrieveInstanceFrames({ ...uids, frameNumbers: [2, 1] })).map((frame) => frame.byteLength),
};
const [metadata] = await client.retrieveInstanceMetadata(uids);
found.bulkData = (await client.retrieveBulkData({ BulkDataURI: metadata["7FE00010"].BulkDataURI }))[0].byteLength;
console.log(JSON.stringify(found));
