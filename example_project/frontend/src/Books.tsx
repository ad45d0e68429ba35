import { useApi } from "./useApi";

interface Book {
  title: string;
  author: string;
}

export function Books() {
  const { data: books } = useApi<Book[]>("/api/books/");
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
