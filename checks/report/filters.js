/* Filters of the verdict table, and every part unfolded for paper. Without this script all rows are visible. */
(function () {
  "use strict";
  var form = document.getElementById("filters");
  if (form) {
    var rows = Array.prototype.slice.call(document.querySelectorAll("#verdict-table tbody[data-system]"));
    var count = document.getElementById("filter-count");
    var choices = Array.prototype.slice.call(form.querySelectorAll("select"));
    var apply = function () {
      var shown = 0;
      rows.forEach(function (row) {
        var fits = choices.every(function (choice) {
          return !choice.value || row.getAttribute("data-" + choice.name) === choice.value;
        });
        row.hidden = !fits;
        shown += fits ? 1 : 0;
      });
      count.textContent = shown + " of " + rows.length + " claims shown";
      document.getElementById("none-shown").hidden = shown > 0;
    };
    form.addEventListener("change", apply);
    form.addEventListener("submit", function (event) { event.preventDefault(); });
    form.addEventListener("reset", function () { window.setTimeout(apply, 0); });
    form.hidden = false;
    apply();
  }

  var opened = [];
  var unfold = function () {
    Array.prototype.forEach.call(document.querySelectorAll("details:not([open])"), function (part) {
      part.open = true;
      opened.push(part);
    });
  };
  var fold = function () {
    opened.splice(0).forEach(function (part) { part.open = false; });
  };
  window.addEventListener("beforeprint", unfold);
  window.addEventListener("afterprint", fold);
  var paper = window.matchMedia("print");
  var changed = function () { if (paper.matches) { unfold(); } else { fold(); } };
  if (paper.addEventListener) { paper.addEventListener("change", changed); }

  /* A link to a folded place opens it. */
  var reveal = function () {
    var target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (var part = target && target.parentElement; part; part = part.parentElement) {
      if (part.tagName === "DETAILS") { part.open = true; }
    }
    if (target) { target.scrollIntoView(); }
  };
  window.addEventListener("hashchange", reveal);
  if (location.hash) { reveal(); }
}());
