// What the site's own scripts say, in the language of the request: pages.py puts its texts in here.
const { language: code, texts } = "{{ texts }}";

export const language = code ?? "en";

/** A text with its values in it, `%(name)s` for each; in English where there is no translation. */
export function _(message, values = {}) {
  const text = isKnown(message) ? texts[message] : message;
  return text.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);
}

/** The same text: marks for collection what is given to `_` elsewhere. */
export function marked(message) {
  return message;
}

/** Whether a text is in the reader's language once `_` gave it. */
export function isTranslated(message) {
  return language === "en" || isKnown(message);
}

function isKnown(message) {
  return Object.hasOwn(texts ?? {}, message);
}
