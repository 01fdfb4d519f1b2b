"use strict";
(function () {
  var EVERY = 5000, PATIENCE = 8000, answered = new Date();

  function show(text) {
    var fresh = new DOMParser().parseFromString(text, "text/html");
    answered = new Date();
    document.title = fresh.title;
    document.querySelector("link[rel=icon]").replaceWith(fresh.querySelector("link[rel=icon]"));
    document.body.replaceWith(fresh.body);
  }

  function complain() {
    document.body.classList.add("unanswered");
    document.querySelector(".stale time").textContent = answered.toLocaleTimeString();
  }

  function refresh() {
    if (document.hidden || String(getSelection())) {
      return setTimeout(refresh, EVERY);
    }
    var patience = new AbortController(), timer = setTimeout(function () { patience.abort(); }, PATIENCE);
    fetch(location.href, {cache: "no-store", signal: patience.signal}).then(function (answer) {
      if (!answer.ok) {
        throw new Error(answer.status);
      }
      return answer.text();
    }).then(show).catch(complain).then(function () {
      clearTimeout(timer);
      setTimeout(refresh, EVERY);
    });
  }

  setTimeout(refresh, EVERY);
}());
