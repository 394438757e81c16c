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

  window.config = {
    routerBasename: "/viewer",
    extensions: ["/viewer/scripts/extension.js"],
    modes: ["/viewer/scripts/mode.js"],
    showStudyList: true,
    showErrorDetails: "dev",
    showLoadingIndicator: true,
    showWarningMessageForCrossOrigin: false,
    showCPUFallbackMessage: false,
    strictZSpacingForVolumeViewport: true,
    disableConfirmationPrompts: true,
    maxNumberOfWebWorkers: 4,
    maxNumRequests: { interaction: 16, thumbnail: 4, prefetch: 4 },
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
})();
