(() => {
  const { console: address } = document.currentScript.dataset;
  const places = { batch: "batches", payment: "payments" };
  const EVERY = 2000;
  const link = (text) => {
    const found = /\b(batch|payment) (\d+)\b/.exec(text.data);
    if (!found) return;
    const words = text.splitText(found.index);
    const rest = words.splitText(found[0].length);
    const anchor = document.createElement("a");
    anchor.href = `${address}/console/${places[found[1]]}/${found[2]}`;
    anchor.rel = "noreferrer";
    words.replaceWith(anchor);
    anchor.append(words);
    link(rest);
  };
  const linkAll = () => {
    if (!address) return;
    for (const cell of document.querySelectorAll("#tasks-table td, .detail-code code")) {
      [...cell.childNodes].filter((child) => child.nodeType === Node.TEXT_NODE).forEach(link);
    }
  };
  linkAll();

  const table = window.jQuery("#tasks-table");
  if (!table.length) return;
  table.find("th[data-column=args]").text("Works on");
  table.on("draw.dt", linkAll);
  // The list is renewed while somebody looks at it, but not while they mark words in it.
  setInterval(() => {
    if (document.hidden || String(getSelection())) return;
    window.jQuery(".dataTables_processing").css("visibility", "hidden");
    table.DataTable().ajax.reload(null, false);
  }, EVERY);
})();
