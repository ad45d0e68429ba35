import type { EndReason } from "twotoken";

const REASONS: { [reason in EndReason]: string } = {
  logout: "You are logged out.",
  replaced: "Somebody logged in again with this browser.",
  missing: "This browser did not keep its cookie.",
  invalid: "This browser's cookie can't be used.",
  expired: "You were away for too long.",
  revoked: "This session was ended from another device, or by the staff.",
  reused: "Your session was copied and used somewhere else. Change your password.",
  password_changed: "Your password was changed.",
  user_inactive: "Your account is not active.",
  wrong_device: "This browser lost its key.",
};

export function SessionEnded({ reason }: { reason: EndReason }) {
  return <p role="alert">{REASONS[reason]} Please log in again.</p>;
}
