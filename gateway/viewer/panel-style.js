// How the panel looks: in a shadow tree, so that neither OHIF's styles nor these reach the other.
export const STYLE = `
:host { color: #f1f5f9; font: 14px/1.45 system-ui, sans-serif; display: block; }
section { padding: 8px 12px; }
h2 { font-size: 15px; margin: 0 0 4px; color: #ffd60a; }
h3 { font-size: 15px; margin: 0 0 4px; }
h4 { font-size: 14px; margin: 8px 0 2px; }
p, ul, ol, dl, table { margin: 4px 0; }
ul, ol { padding-left: 18px; }
article { border: 1px solid #475569; border-radius: 6px; margin: 8px 0; padding: 8px; background: #0b1526; }
article.failed { border-color: #f87171; }
.status { min-height: 1.45em; }
.status a { color: #7dd3fc; }
.headline strong { font-size: 26px; margin-right: 4px; }
.caution { color: #ffd60a; }
.hint, dt, caption { color: #cbd5e1; }
caption { text-align: left; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 2px 6px 2px 0; font-weight: normal; vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
.answer th, .answer td { font-weight: bold; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 8px; font-size: 12px; }
dd { margin: 0; overflow-wrap: anywhere; }
.lesions { padding: 0; list-style: none; }
.lesions > li { border-top: 1px solid #475569; padding: 4px 0 8px; }
.reviews { list-style: none; padding: 0; }
.reviews .old { color: #cbd5e1; }
.comment { white-space: pre-wrap; overflow-wrap: anywhere; margin-left: 8px; }
.review { margin-top: 6px; }
label { display: block; margin-bottom: 4px; font-size: 12px; color: #cbd5e1; }
textarea { display: block; box-sizing: border-box; width: 100%; font: inherit; color: #f1f5f9; background: #020617;
  border: 1px solid #94a3b8; border-radius: 4px; }
button { font: inherit; color: #f1f5f9; background: #1e3a5f; border: 1px solid #94a3b8; border-radius: 4px;
  padding: 3px 10px; margin: 2px 4px 2px 0; cursor: pointer; min-height: 28px; }
button:hover { background: #2b5285; }
button:disabled { color: #94a3b8; background: #1e293b; cursor: default; }
:focus-visible { outline: 2px solid #ffd60a; outline-offset: 1px; }
summary { cursor: pointer; }
`;
