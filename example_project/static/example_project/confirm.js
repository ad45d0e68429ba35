// The dialog that asks for the password again, when the API wants a recent login.
import { $, describe, write } from "./dom.js";

/** Ask for the password. `error` says why the previous one was refused. The result is null if the user cancels. */
export function confirmIdentity({ error }) {
  const dialog = $("confirm");
  const { password } = dialog.querySelector("form").elements;
  write($("confirm-says"), error ? describe(error) : "");
  password.value = "";
  dialog.returnValue = ""; // the key Escape does not change it
  dialog.showModal();
  return new Promise((resolve) => {
    const answer = () => resolve(dialog.returnValue === "confirm" ? { password: password.value } : null);
    dialog.addEventListener("close", answer, { once: true });
  });
}
