import { useState } from "react";
import { client } from "./client";

export function Login() {
  const [problem, setProblem] = useState("");
  const logIn = (form: FormData) => client.login(Object.fromEntries(form)).catch((error) => setProblem(error.message));
  return (
    <form action={logIn}>
      <h1>Log in</h1>
      <input name="username" aria-label="User name" placeholder="User name" autoComplete="username" />
      <input name="password" aria-label="Password" placeholder="Password" type="password" autoComplete="current-password" />
      <button>Log in</button>
      {problem && <p role="alert">{problem}</p>}
    </form>
  );
}
