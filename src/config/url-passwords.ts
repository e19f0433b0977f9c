/** The passwords in a URL, as they are written and as they are meant; some may be empty. */
export function passwordsIn(url: string): readonly string[] {
  const parsed = URL.parse(url);
  const password = parsed?.password ?? '';
  return [password, decoded(password), parsed?.searchParams.get('password') ?? ''];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A percent sign that nothing follows: the connection will fail with its own message.
    return text;
  }
}
