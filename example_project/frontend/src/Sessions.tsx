import { client } from "./client";
import { useApi } from "./useApi";

interface Session {
  id: string;
  last_used_at: string;
  user_agent: string;
  current: boolean;
}

export function Sessions() {
  const { data: sessions, reload } = useApi<Session[]>("/api/auth/sessions/");
  const revoke = async (id: string) => {
    await client.fetch(`/api/auth/sessions/${id}/`, { method: "DELETE" });
    await reload();
  };
  return (
    <section>
      <h1>Your sessions</h1>
      <ul>
        {sessions?.map(({ id, user_agent, last_used_at, current }) => (
          <li key={id}>
            {user_agent || "Unknown device"}, last used {new Date(last_used_at).toLocaleString()}{" "}
            {current ? <em>this browser</em> : <button onClick={() => revoke(id)}>Revoke</button>}
          </li>
        ))}
      </ul>
    </section>
  );
}
