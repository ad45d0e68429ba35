import { useBooks } from "./api";

export function Books() {
  const { data: books } = useBooks();
  return (
    <section>
      <h1>Books</h1>
      <ul>
        {books?.map(({ title, author }) => (
          <li key={title}>
            {title}, by {author}
          </li>
        ))}
      </ul>
    </section>
  );
}
