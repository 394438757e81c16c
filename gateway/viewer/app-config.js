// What OHIF is configured to be here: one data source, this site's own DICOMweb with the person's cookie; one mode and
// one extension beside those of OHIF that it needs.
(() => {
  const site = "{{ site }}";

  window.PUBLIC_URL = site.prefix;
  window.browserImportFunction = (name) => import(name);

  // OHIF would load every mode and extension that it ships. It makes its lists known here before it fills them.
  const used = new Set(["@ohif/extension-default", "@ohif/extension-cornerstone"]);
  for (const name of ["extensions", "modes"]) {
    let list;
    Object.defineProperty(window, name, {
      get: () => list,
      set(given) {
        list = given;
        list.push = (...items) => Array.prototype.push.apply(list, items.filter((item) => used.has(item)));
      },
    });
  }

  /** Name the patient's last mammograms before these in the address as well, so that they hang beside them. */
  async function addPrior() {
    const query = new URLSearchParams(window.location.search);
    const study = query.get("StudyInstanceUIDs");
    if (!study || study.includes(",")) return;
    const value = (row, tag) => row?.[tag]?.Value?.[0] ?? "";
    const search = async (parameters) => {
      const answer = await fetch(`${site.dicomweb}/studies?${new URLSearchParams(parameters)}`, {
        headers: { Accept: "application/dicom+json" },
      });
      return answer.status === 200 ? answer.json() : [];
    };
    const [current] = await search({ StudyInstanceUID: study, includefield: "ModalitiesInStudy,PatientID,StudyDate" });
    const [patient, date] = [value(current, "00100020"), value(current, "00080020")];
    if (!patient || !date || !current["00080061"]?.Value?.includes("MG")) return;
    const found = await search({ PatientID: patient, ModalitiesInStudy: "MG", StudyDate: `-${date}` });
    const earlier = found.filter((row) => value(row, "0020000D") !== study && value(row, "00080020") < date);
    earlier.sort((one, other) => value(other, "00080020").localeCompare(value(one, "00080020")));
    if (!earlier.length) return;
    query.set("StudyInstanceUIDs", `${study},${value(earlier[0], "0020000D")}`);
    window.history.replaceState(null, "", `${window.location.pathname}?${query}`);
  }

  const prior = addPrior().catch((error) => console.info("No prior was looked for:", error.name)); // while OHIF loads

  const configuration = {
    routerBasename: "/viewer",
    extensions: ["/viewer/scripts/extension.js"],
    modes: ["/viewer/scripts/mode.js"],
    showStudyList: false, // the site has a worklist
    whiteLabeling: {
      createLogoComponentFn: (React) =>
        React.createElement("a", { href: "/worklist/", className: "text-white underline" }, site.worklist),
    },
    showErrorDetails: "dev",
    showLoadingIndicator: true,
    showWarningMessageForCrossOrigin: false,
    showCPUFallbackMessage: false,
    strictZSpacingForVolumeViewport: true,
    disableConfirmationPrompts: true,
    maxNumberOfWebWorkers: 4,
    maxNumRequests: { interaction: 1, thumbnail: 4, prefetch: 4 }, // until the first picture is there (extension.js)
    investigationalUseDialog: { option: "never" }, // every finding says that itself
    defaultDataSourceName: "site",
    dataSources: [
      {
        namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
        sourceName: "site",
        configuration: {
          friendlyName: "Senogate",
          name: "site",
          qidoRoot: site.dicomweb,
          wadoRoot: site.dicomweb,
          wadoUriRoot: site.dicomweb,
          imageRendering: "wadors",
          thumbnailRendering: "thumbnail",
          thumbnailRequestStrategy: "fetch",
          enableStudyLazyLoad: true,
          qidoSupportsIncludeField: true,
          supportsFuzzyMatching: true,
          supportsWildcard: true,
          supportsReject: false,
          dicomUploadEnabled: false,
          singlepart: "pdf,video",
          bulkDataURI: { enabled: true },
          omitQuotationForMultipartRequest: false,
        },
      },
    ],
    httpErrorHandler(error) {
      if (error?.status === 401) {
        const here = window.location.pathname + window.location.search;
        window.location.assign(`/login?next=${encodeURIComponent(here)}`);
      }
    },
  };

  window.config = Object.assign(async () => (await prior, configuration), { routerBasename: configuration.routerBasename });
})();
