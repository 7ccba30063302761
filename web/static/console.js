// Defray's console: keys, live progress, and the card that goes straight to the vault. Pages work without it.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // ---- keys: F8 and others press what carries data-key; arrows walk through the links of data-arrows -------------
  const step = (root, from, by) => {
    const links = all("a, button, [tabindex='0']", root);
    const next = links[(from ? links.indexOf(from) : by > 0 ? -1 : 0) + by];
    if (next) next.focus();
    return next;
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const pressed = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (pressed && /^F\d+$/.test(event.key)) {
      event.preventDefault();
      pressed.click();
      return;
    }
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    const here = event.target;
    if (here.dataset && here.dataset.arrowsTo) {
      const results = document.getElementById(here.dataset.arrowsTo);
      if (by > 0 && results && step(results, null, 1)) event.preventDefault();
      return;
    }
    const list = here.closest && here.closest("[data-arrows]");
    if (!list || here.matches("input, select, textarea")) return;
    event.preventDefault();
    if (!step(list, here, by) && by < 0) {
      const box = document.querySelector(`[data-arrows-to="${list.id}"]`);
      if (box && list.id) box.focus();
    }
  });
  document.addEventListener("dblclick", (event) => {
    const row = event.target.closest("[data-arrows] tr");
    const link = row && row.querySelector("a");
    if (link) link.click();
  });

  // ---- forms: what was wrong has the focus; a form is sent once --------------------------------------------------
  const focusFaults = (root) => { const first = root.querySelector("[data-focus]"); if (first) first.focus(); };
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => delete form.dataset.sent));

  // ---- a choice with data-switch enables what is only for it: data-only has the values, separated by spaces ---------
  const switching = (choice) => {
    const set = () => all("[data-only]", choice.form).forEach((part) => {
      part.disabled = !part.dataset.only.split(" ").includes(choice.value);
    });
    choice.addEventListener("change", set);
    window.addEventListener("pageshow", set);
    set();
  };

  // ---- what is looked for by itself waits while nobody sees the page ---------------------------------------------
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.requestConfig.verb === "get") event.preventDefault();
  });

  // ---- live progress ----------------------------------------------------------------------------------------------
  // A browser opens six connections to a server: a tab that nobody sees gives its own back until it is looked at.
  const follow = (address, listeners) => {
    let source = null, over = false;
    const open = () => {
      source = new EventSource(address);
      for (const [name, listener] of Object.entries(listeners)) source.addEventListener(name, listener);
      source.addEventListener("end", () => { over = true; source.close(); });
    };
    document.addEventListener("visibilitychange", () => {
      if (over) return;
      if (document.hidden && source) { source.close(); source = null; }
      if (!document.hidden && !source) open();
    });
    open();
  };
  const goOn = (address) => setTimeout(() => location.assign(address), 900);
  // Whoever comes from a form goes on by themselves, also where the end came before the page.
  const leaving = (link) => {
    const [{ type, redirectCount }] = performance.getEntriesByType("navigation");
    if (type === "navigate" && redirectCount) goOn(link.href);
  };
  const followPayment = (list) => {
    let seen = Number(list.dataset.seen);
    const step = (event) => {
      if (Number(event.lastEventId) <= seen) return;
      seen = Number(event.lastEventId);
      const line = document.createElement("li");
      line.textContent = JSON.parse(event.data).words;
      list.append(line);
    };
    const slow = (event) => {
      document.querySelector("#outcome strong").textContent = JSON.parse(event.data).words;
    };
    const ended = (event) => {
      const end = JSON.parse(event.data);
      document.querySelector("#outcome strong").textContent = end.words;
      document.getElementById("go-on").href = end.address;
      list.dataset.ended = end.state;
      if (end.leads) goOn(end.address);
    };
    follow(list.dataset.progress, { step, slow, end: ended });
  };
  const followBatch = (part) => {
    const show = (event) => {
      const counts = JSON.parse(event.data);
      const bar = part.querySelector("progress");
      bar.max = counts.payments;
      bar.value = counts.finished + counts.waiting;
      document.getElementById("finished").textContent = counts.finished;
      document.getElementById("waiting").textContent = counts.waiting;
      document.getElementById("pace").textContent = counts.pace || "";
      document.getElementById("by-state").replaceChildren(...Object.entries(counts.by_state).map(([state, count]) => {
        const row = document.createElement("tr");
        row.insertCell().textContent = state;
        const sum = row.insertCell();
        sum.className = "sum";
        sum.textContent = count;
        return row;
      }));
    };
    const ended = (event) => {
      show(event);
      document.getElementById("batch-ended").textContent = "Nothing more happens by itself now.";
    };
    follow(part.dataset.batch, { counts: show, end: ended });
  };

  // ---- the fields of a new card are for that choice alone; who types into them has chosen it ------------------------
  const choosing = (form) => {
    const choices = all("[name=kept_card]", form);
    const fresh = form.querySelector("[data-new-card]");
    if (!choices.length || !fresh) return;
    const set = () => { fresh.disabled = choices.some((choice) => choice.checked && choice.value); };
    choices.forEach((choice) => choice.addEventListener("change", set));
    window.addEventListener("pageshow", set);
    set();
  };

  // ---- the card: its fields have no names, so that no form ever sends them; only the card endpoint gets them -------
  // <form data-card-form>: <input type="hidden" name="card_token">, <input data-card="number"> ..., each with
  // <p data-card-fault="number">; a fieldset that is disabled, or a token that is there already, is passed over.
  const BRANDS = [[/^4/, "Visa"], [/^(5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, "Mastercard"], [/^3[47]/, "American Express"],
    [/^(6011|64[4-9]|65)/, "Discover"], [/^(30[0-5]|3095|36|38|39)/, "Diners Club"], [/^35(2[89]|[3-8])/, "JCB"], [/^(62|81)/, "UnionPay"]];
  const luhn = (digits) => [...digits].reverse().reduce((sum, digit, place) => {
    const doubled = Number(digit) * (place % 2 ? 2 : 1);
    return sum + (doubled > 9 ? doubled - 9 : doubled);
  }, 0) % 10 === 0;
  const cardForm = (form) => {
    const inputs = all("[data-card]", form);
    const number = inputs.find((input) => input.dataset.card === "number");
    const told = form.querySelector("[data-card-brand]");
    if (number && told) number.addEventListener("input", () => {
      const digits = number.value.replace(/[ -]/g, "");
      const brand = (BRANDS.find(([begins]) => begins.test(digits)) || ["", ""])[1];
      const judged = digits.length < 13 ? "" : luhn(digits) ? "number is plausible" : "a digit is wrong";
      told.textContent = [brand, judged].filter(Boolean).join(", ");
    });
    form.addEventListener("submit", async (event) => {
      const token = form.elements.card_token;
      const asked = inputs.filter((input) => !input.matches(":disabled"));
      if (!asked.length || token.value || !asked.some((input) => input.value)) return;
      event.preventDefault();
      event.stopPropagation();
      if (form.dataset.sealing) return;
      form.dataset.sealing = "yes";
      all("[data-card-fault]", form).forEach((fault) => { fault.textContent = ""; });
      asked.forEach((input) => input.removeAttribute("aria-invalid"));
      try {
        const answer = await fetch("/v1/cards", {
          method: "POST",
          headers: { "Content-Type": "application/json", "X-CSRF-Token": document.body.dataset.csrf },
          body: JSON.stringify({
            customer: form.dataset.customer || "",
            ...Object.fromEntries(asked.map((input) => [input.dataset.card, input.value])),
          }),
        });
        if ([401, 403].includes(answer.status)) { // logged out, or in again elsewhere: the form is carried over the log-in, the card is entered once more
          asked.forEach((input) => { input.value = ""; });
          form.requestSubmit(event.submitter);
          return;
        }
        const said = await answer.json();
        if (answer.ok) {
          token.value = said.token;
          asked.forEach((input) => { input.value = ""; });
          form.requestSubmit(event.submitter);
          return;
        }
        const faults = said.faults || [{ field: "number", problem: said.title, remedy: said.detail || "" }];
        for (const fault of faults) {
          const place = form.querySelector(`[data-card-fault="${CSS.escape(fault.field)}"]`) || form.querySelector("[data-card-fault]");
          if (place) place.textContent = `${fault.problem}. ${fault.remedy}.`;
        }
        const wrong = asked.find((input) => input.dataset.card === faults[0].field) || asked[0];
        wrong.setAttribute("aria-invalid", "true");
        wrong.focus();
      } catch {
        const place = form.querySelector("[data-card-fault]");
        if (place) place.textContent = "The card was not taken: no connection. Try again.";
      } finally {
        delete form.dataset.sealing;
      }
    }, true);
  };

  const begin = (root) => {
    all("[data-progress]", root).forEach(followPayment);
    all("[data-leads]", root).forEach(leaving);
    all("[data-batch]", root).forEach(followBatch);
    all("form[data-card-form]", root).forEach((form) => { choosing(form); cardForm(form); });
    all("[data-switch]", root).forEach(switching);
    all("[data-print]", root).forEach((button) => button.addEventListener("click", () => window.print()));
    focusFaults(root);
  };
  begin(document);
  document.addEventListener("htmx:afterSwap", (event) => begin(event.target));
})();
