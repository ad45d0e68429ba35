import { useSession } from "twotoken/react";
import { Books } from "./Books";
import { client } from "./client";
import { Login } from "./Login";
import { SessionEnded } from "./SessionEnded";
import { Sessions } from "./Sessions";

export function App() {
  const { status, reason } = useSession(client);
  if (status === "unknown") return <p>Loading</p>;
  if (status === "anonymous") {
    return (
      <>
        {reason && <SessionEnded reason={reason} />}
        <Login />
      </>
    );
  }
  return (
    <>
      <button onClick={client.logout}>Log out</button>
      <Books />
      <Sessions />
    </>
  );
}
