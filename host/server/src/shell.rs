//! Words for a shell: lines that are printed to be pasted.

/// The text as one word of a POSIX shell, whatever it holds.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for text in
            ["plain", "", "two words", "it's", "''", "$HOME `id` \\ \"x\"", "{\"a\": [1, 'b']}", "línea\nnueva", "中文"]
        {
            let line = format!("printf %s {}", quote(text));
            let output = Command::new("sh").arg("-c").arg(&line).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text, "{line}");
        }
    }
}
