//! Everything that can be done with files, for whoever calls.

use exports::test::files::files::Guest;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::time::Duration;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags, filesystem_error_code};
use wasip2::io::streams::StreamError;

wares_sdk::component!(Component);

struct Component;

fn words(error: io::Error) -> String {
    format!("{:?}: {error}", error.kind())
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

fn name(code: ErrorCode) -> String {
    code.name().to_owned()
}

/// Opens a file without the standard library.
fn open_raw(path: &str) -> Result<Descriptor, String> {
    let (root, _) = get_directories().into_iter().next().ok_or("no directory")?;
    root.open_at(PathFlags::empty(), path, OpenFlags::CREATE, DescriptorFlags::WRITE).map_err(name)
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

    fn append_raw(path: String, text: String) -> Result<(), String> {
        let stream = open_raw(&path)?.append_via_stream().map_err(name)?;
        stream.blocking_write_and_flush(text.as_bytes()).map_err(|error| match error {
            StreamError::LastOperationFailed(error) => {
                filesystem_error_code(&error).map_or_else(|| error.to_debug_string(), name)
            }
            StreamError::Closed => "closed".to_owned(),
        })
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

    fn write_from_many(path: String) -> Result<u32, String> {
        let file = open_raw(&path)?;
        let mut streams = Vec::new();
        while let Ok(stream) = file.append_via_stream() {
            if stream.blocking_write_and_flush(b"x").is_err() {
                break;
            }
            streams.push(stream);
        }
        Ok(streams.len() as u32)
    }

    fn open_many(path: String) -> Result<(u32, String), String> {
        let mut files = Vec::new();
        let refusal = loop {
            match open(&path) {
                Ok(file) => files.push(file),
                Err(error) => break words(error),
            }
        };
        fs::create_dir("all-open").map_err(words)?;
        while !fs::exists("go-on").map_err(words)? {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok((files.len() as u32, refusal))
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
