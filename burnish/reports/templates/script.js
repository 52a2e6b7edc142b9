(function () {
  "use strict";
  var tip = document.getElementById("tip");

  function show(lines, event) {
    tip.textContent = "";
    lines.forEach(function (line) {
      var row = document.createElement("div");
      row.textContent = line;
      tip.appendChild(row);
    });
    tip.hidden = false;
    var left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    var top = event.clientY - tip.offsetHeight - 12;
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = (top < 8 ? event.clientY + 18 : top) + "px";
  }

  function hide() { tip.hidden = true; }

  document.querySelectorAll("[data-tip]").forEach(function (mark) {
    mark.addEventListener("pointermove", function (event) { show([mark.dataset.tip], event); });
    mark.addEventListener("pointerleave", hide);
  });

  document.querySelectorAll("svg.curves").forEach(function (svg) {
    var left = Number(svg.dataset.left), right = Number(svg.dataset.right);
    var cursor = svg.querySelector(".cursor");
    var curves = Array.from(svg.querySelectorAll("path[data-steps]")).map(function (path) {
      return {
        label: path.dataset.label,
        steps: path.dataset.steps.trim().split(" ").map(Number),
        texts: path.dataset.texts.split("|")
      };
    });
    var steps = curves.flatMap(function (curve) { return curve.steps; });
    var first = Math.min.apply(null, steps), last = Math.max.apply(null, steps);
    if (last === first) { last = first + 1; }

    svg.addEventListener("pointermove", function (event) {
      var box = svg.getBoundingClientRect();
      var x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      var wanted = first + (x - left) / (right - left) * (last - first);
      var step = steps.reduce(function (a, b) { return Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a; });
      var place = left + (step - first) / (last - first) * (right - left);
      cursor.setAttribute("x1", place);
      cursor.setAttribute("x2", place);
      cursor.style.opacity = 1;
      var lines = ["step " + step.toLocaleString("en")];
      curves.forEach(function (curve) {
        var index = curve.steps.indexOf(step);
        if (index >= 0) { lines.push(curve.label + ": " + curve.texts[index]); }
      });
      show(lines, event);
    });
    svg.addEventListener("pointerleave", function () { cursor.style.opacity = 0; hide(); });
  });

  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (part) { part.open = true; });
  });
}());
