//! Keys that were written into a policy: where a line of it is shown, they are not.

use crate::policy::endpoint::is_key;

/// What is part of the names of keys whose text may be a secret.
const SECRETIVE: [&str; 7] =
    ["secret", "authorization", "cookie", "key", "token", "password", "credential"];
/// The key of a mandate that has such a part, and a number behind it.
const NUMBER: &str = "max_output_tokens";

/// The text with `*` for every byte that may be of a secret, of the same length.
pub(super) fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (key, value) = line.split_once('=').map_or((line, ""), |(key, value)| (key, value));
        let key = key.to_ascii_lowercase();
        let table = ["headers", "query"].contains(&key.trim());
        let of_key = |word: &&str| key.contains(*word) && key.trim() != NUMBER;
        let secretive = table || SECRETIVE.iter().any(of_key);
        let pieces = line.split_inclusive(|c: char| !is_of_key(c));
        let at_value = line.len().saturating_sub(value.len());
        let mut from = 0;
        for piece in pieces {
            let word = piece.trim_end_matches(|c: char| !is_of_key(c));
            let behind = line.get(from + word.len()..).unwrap_or_default();
            let names = behind.trim_start_matches(['"', '\'', ' ']).starts_with('=');
            let told = secretive && from >= at_value && !names && !is_plain(word);
            if is_key(word) || told {
                shown.extend(std::iter::repeat_n('*', word.len()));
                shown.push_str(piece.get(word.len()..).unwrap_or_default());
            } else {
                shown.push_str(piece);
            }
            from += piece.len();
        }
    }
    shown
}

/// Whether a character may be one of a key.
fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_+/.~:%@$!*".contains(c)
}

/// Whether a word stands in a reference or a template, or is the name of a variable.
fn is_plain(word: &str) -> bool {
    const WORDS: [&str; 8] =
        ["env", "file", "command", "keyring", "secret", "Bearer", "Basic", "Token"];
    let variable = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    WORDS.contains(&word) || word.starts_with('/') || word.bytes().all(variable)
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn what_may_be_a_key_is_not_shown_and_all_else_is() {
        for (line, shown) in [
            ("payee = \"Acme Search\"\n", "payee = \"Acme Search\"\n"),
            ("secret = { env = \"ACME_KEY\" }", "secret = { env = \"ACME_KEY\" }"),
            ("secret = { file = \"/run/key\" }", "secret = { file = \"/run/key\" }"),
            ("secret = \"hunter2\"", "secret = \"*******\""),
            ("headers = { x-api-key = \"{secret}\" }", "headers = { x-api-key = \"{secret}\" }"),
            ("authorization = \"Bearer hunter2\"", "authorization = \"Bearer *******\""),
            (
                "headers = { x-version = \"{secret}\", \"x-a\" = \"Bearer hunter2\" }",
                "headers = { x-version = \"{secret}\", \"x-a\" = \"Bearer *******\" }",
            ),
            ("api_token = \"abc\"\nprice = \"0.02\"", "api_token = \"***\"\nprice = \"0.02\""),
            (
                "max_output_tokens = 4096\nmax_tokens = 4096",
                "max_output_tokens = 4096\nmax_tokens = ****",
            ),
            ("note = \"sk-ant-0123456789abcdef\"", "note = \"***********************\""),
        ] {
            assert_eq!(masked(line), shown);
        }
    }
}
