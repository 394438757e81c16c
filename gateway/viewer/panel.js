// The panel of findings.
export function mount(element, { studyInstanceUID }) {
  element.replaceChildren();
  return () => element.replaceChildren();
}
