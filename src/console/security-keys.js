"use strict";
// A form of ours that needs a security key asks the browser for it first, and is sent with what it answered.
// Whether that is enough is decided by the server alone.

async function ask(form) {
  if (form.dataset.use) {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(JSON.parse(form.dataset.use));
    const used = await navigator.credentials.get({ publicKey });
    form.elements.assertion.value = JSON.stringify(used.toJSON());
  }
  if (form.dataset.make) {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(form.dataset.make));
    const made = await navigator.credentials.create({ publicKey });
    form.elements.registration.value = JSON.stringify(made.toJSON());
  }
}

function words(error) {
  if (error.name === "NotAllowedError") {
    return "No key was used: it was cancelled, took too long, has no PIN, or none of yours is here. Load the page and try again.";
  }
  if (error.name === "InvalidStateError") {
    return "This key is registered already.";
  }
  return "This browser cannot use security keys here. A current one can.";
}

for (const form of document.querySelectorAll("form[data-use], form[data-make]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    const says = form.querySelector("[role=alert]");
    button.disabled = true;
    says.textContent = "Waiting for your security key …";
    try {
      await ask(form);
    } catch (error) {
      says.textContent = words(error);
      button.disabled = false;
      return;
    }
    form.submit();
  });
}
