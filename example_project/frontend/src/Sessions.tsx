import { revokeSession, useSessions } from "./api";

export function Sessions() {
  const { data: sessions, reload } = useSessions();
  return (
    <section>
      <h1>Your sessions</h1>
      <ul>
        {sessions?.map(({ id, user_agent, last_used_at, current }) => (
          <li key={id}>
            {user_agent || "Unknown device"}, last used {new Date(last_used_at).toLocaleString()}{" "}
            {current ? <em>this browser</em> : <button onClick={() => revokeSession(id).then(reload)}>Revoke</button>}
          </li>
        ))}
      </ul>
    </section>
  );
}
