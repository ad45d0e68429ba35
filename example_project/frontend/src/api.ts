import { useCallback, useEffect, useState } from "react";
import { client } from "./client";

export interface Book {
  title: string;
  author: string;
}

export interface Session {
  id: string;
  last_used_at: string;
  user_agent: string;
  current: boolean;
}

export const useBooks = () => useApi<Book[]>("/api/books/");
export const useSessions = () => useApi<Session[]>("/api/auth/sessions/");

export function revokeSession(id: string) {
  return client.fetch(`/api/auth/sessions/${id}/`, { method: "DELETE" });
}

/** Get JSON from the API. `data` is null until the answer has come; `reload` gets it again. */
function useApi<Data>(url: string) {
  const [data, setData] = useState<Data | null>(null);
  const reload = useCallback(async () => {
    const response = await client.fetch(url);
    if (response.ok) setData(await response.json());
  }, [url]);
  useEffect(() => void reload().catch(console.error), [reload]);
  return { data, reload };
}
