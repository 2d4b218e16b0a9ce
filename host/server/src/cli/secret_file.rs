//! `--secret NAME=FILE`: secrets for the sandbox.

use super::secrets::read_file;
use crate::sandbox::Secrets;
use anyhow::Context as _;
use std::path::PathBuf;
use std::str::FromStr;
use wares_model::grants::Label;

/// What is between two of them in a variable.
pub(super) const DELIMITER: char = '\n';

/// A secret and the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretFile {
    name: Label,
    file: PathBuf,
}

impl FromStr for SecretFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, file) = text.split_once('=').ok_or("write it as NAME=FILE")?;
        let name = name.parse::<Label>().map_err(|error| error.to_string())?;
        Ok(Self { name, file: file.into() })
    }
}

/// The secrets that the files hold.
pub(super) fn read(secrets: &[SecretFile]) -> anyhow::Result<Secrets> {
    secrets.iter().map(|secret| Ok((secret.name.clone(), read_file(&secret.file)?))).collect()
}

/// The value of [`SECRETS_VARIABLE`](crate::vendor::test::SECRETS_VARIABLE), for programs that run in other folders.
pub(super) fn for_tests(secrets: &[SecretFile]) -> anyhow::Result<String> {
    let line = |SecretFile { name, file }: &SecretFile| {
        let path = std::path::absolute(file).with_context(|| file.display().to_string())?;
        let path = path.to_str().with_context(|| format!("{}: the path is not UTF-8", path.display()))?;
        anyhow::Ok(format!("{name}={path}"))
    };
    let lines = secrets.iter().map(line).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(lines.join(DELIMITER.encode_utf8(&mut [0; 4])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_to_tests_reads_back_the_same() {
        let secrets = ["token=/tmp/a=b,c", "spare=/x y"].map(|text| text.parse::<SecretFile>().unwrap());
        let lines = for_tests(&secrets).unwrap();
        let back: Vec<SecretFile> = lines.split(DELIMITER).map(|line| line.parse().unwrap()).collect();
        assert_eq!(back, secrets);
        let relative = for_tests(&["token=a".parse().unwrap()]).unwrap();
        assert!(relative.starts_with("token=/") && relative.ends_with("/a"), "{relative}");
    }

    #[test]
    fn a_secret_has_a_name_and_a_file() {
        for text in ["token", "=file", "two words=file"] {
            assert!(text.parse::<SecretFile>().is_err(), "{text}");
        }
    }
}
