import { useCallback, useEffect, useState } from "react";
import { client } from "./client";

/** Get JSON from the API: null until it is there. `reload` gets it again. */
export function useApi<Data>(url: string) {
  const [data, setData] = useState<Data | null>(null);
  const reload = useCallback(async () => {
    const response = await client.fetch(url);
    if (response.ok) setData(await response.json());
  }, [url]);
  useEffect(() => void reload().catch(console.error), [reload]);
  return { data, reload };
}
