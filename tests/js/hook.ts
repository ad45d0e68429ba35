// A use of the hook, for the compiler: it is never run. Where a line must not compile, it says so.
import type { Client, EndReason } from "twotoken";
import { useSession, type Session } from "twotoken/react";

/** Say who is logged in: the status tells what else there is. */
export function useGreeting(client: Client): string {
  const { status, claims, reason } = useSession(client);
  if (status === "unknown") return "Loading";
  if (status === "authenticated") return `User ${claims.sub}`;
  const ended: EndReason | null = reason;
  return ended === null ? "Please log in." : `Please log in again: ${ended}.`;
}

// @ts-expect-error: only who is authenticated has claims
export const subject = (session: Session): string => session.claims.sub;
// @ts-expect-error: not one of them
export const isBored = (session: Session): boolean => session.status === "bored";
// @ts-expect-error: it needs a client
export const useNothing = (): Session => useSession();
// @ts-expect-error: nobody sets it
export const set = (session: Session): void => { session.status = "unknown"; };
