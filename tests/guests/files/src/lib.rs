//! Everything that can be done with files, for whoever calls.

use exports::test::files::files::Guest;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};

wares_sdk::component!(Component);

struct Component;

fn words(error: io::Error) -> String {
    format!("{:?}: {error}", error.kind())
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

impl Guest for Component {
    fn read(path: String) -> Result<String, String> {
        fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(words)
    }

    fn write(path: String, text: String) -> Result<(), String> {
        fs::write(path, text).map_err(words)
    }

    fn append(path: String, text: String) -> Result<(), String> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(words)
    }

    fn write_at(path: String, offset: u64, text: String) -> Result<(), String> {
        let write = || {
            let mut file = open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(text.as_bytes())
        };
        write().map_err(words)
    }

    fn set_size(path: String, bytes: u64) -> Result<(), String> {
        open(&path).and_then(|file| file.set_len(bytes)).map_err(words)
    }

    fn make_directory(path: String) -> Result<(), String> {
        fs::create_dir(path).map_err(words)
    }

    fn remove(path: String) -> Result<(), String> {
        let is_directory = fs::symlink_metadata(&path).map_err(words)?.is_dir();
        if is_directory { fs::remove_dir(path) } else { fs::remove_file(path) }.map_err(words)
    }

    fn rename(old: String, new: String) -> Result<(), String> {
        fs::rename(old, new).map_err(words)
    }

    fn hard_link(old: String, new: String) -> Result<(), String> {
        fs::hard_link(old, new).map_err(words)
    }

    #[expect(deprecated, reason = "the others are for one kind of system each, and not stable for this one")]
    fn symlink(old: String, new: String) -> Result<(), String> {
        fs::soft_link(old, new).map_err(words)
    }

    fn entries(path: String) -> Result<Vec<String>, String> {
        let entries = fs::read_dir(path).map_err(words)?;
        let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        let mut names = entries.map(name).collect::<std::io::Result<Vec<_>>>().map_err(words)?;
        names.sort();
        Ok(names)
    }

    fn size(path: String) -> Result<u64, String> {
        fs::metadata(path).map(|metadata| metadata.len()).map_err(words)
    }

    fn write_removed(path: String, chunks: u32) -> Result<u32, String> {
        let mut file = open(&path).map_err(words)?;
        fs::remove_file(&path).map_err(words)?;
        Ok((0..chunks).take_while(|_| file.write_all(&[b'x'; 4096]).is_ok()).count() as u32)
    }

    fn append_until_refused(path: String) -> (u32, String) {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let mut file = match file {
            Ok(file) => file,
            Err(error) => return (0, words(error)),
        };
        let mut count = 0;
        loop {
            match file.write_all(&[b'x'; 1000]) {
                Ok(()) => count += 1,
                Err(error) => return (count, words(error)),
            }
        }
    }

    fn write_from_many(path: String) -> u32 {
        let mut files = Vec::new();
        while let Ok(mut file) = open(&path) {
            if file.write_all(b"x").is_err() {
                break;
            }
            files.push(file);
        }
        files.len() as u32
    }

    fn list_many(path: String) -> u32 {
        let mut lists = Vec::new();
        while let Ok(list) = fs::read_dir(&path) {
            lists.push(list);
        }
        lists.len() as u32
    }

    fn create_until_refused(prefix: String) -> (u32, String) {
        let mut count = 0;
        loop {
            match File::create(format!("{prefix}{count}")) {
                Ok(_) => count += 1,
                Err(error) => return (count, words(error)),
            }
        }
    }
}
