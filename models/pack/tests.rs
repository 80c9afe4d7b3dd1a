use std::fs;
use std::path::PathBuf;

use super::*;

/// A folder of its own, gone at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sotto-pack-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.join(name), bytes).unwrap();
    }

    fn manifest(&self, file: &ManifestFile) {
        let manifest = Manifest {
            name: "test".to_owned(),
            version: "1".to_owned(),
            recipe_sha256: String::new(),
            file: vec![file.clone()],
        };
        self.write(MANIFEST, toml::to_string(&manifest).unwrap().as_bytes());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn listed(bytes: &[u8]) -> ManifestFile {
    ManifestFile {
        job: "vad".to_owned(),
        name: "vad.gguf".to_owned(),
        bytes: bytes.len() as u64,
        sha256: sha256_hex(bytes),
        licence: "MIT".to_owned(),
        source: "none".to_owned(),
    }
}

#[test]
fn one_changed_byte_is_refused_with_its_file_and_both_hashes() {
    let folder = Folder::new("byte");
    let content = b"the bytes of a model".to_vec();
    folder.write("vad.gguf", &content);
    folder.manifest(&listed(&content));
    assert_eq!(Pack::open(&folder.0).unwrap().name(), "test");

    for index in 0..content.len() {
        let mut changed = content.clone();
        changed[index] ^= 1;
        folder.write("vad.gguf", &changed);
        let error = Pack::open(&folder.0).unwrap_err();
        assert!(matches!(error, PackError::Hash { .. }), "{error}");
        let text = error.to_string();
        for part in [
            "vad.gguf",
            &sha256_hex(&content),
            &sha256_hex(&changed),
            "build",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}

#[test]
fn another_length_or_a_missing_file_is_refused() {
    let folder = Folder::new("length");
    let content = b"the bytes of a model";
    folder.manifest(&listed(content));
    assert!(matches!(Pack::open(&folder.0), Err(PackError::Read { .. })));
    folder.write("vad.gguf", &content[1..]);
    assert!(matches!(Pack::open(&folder.0), Err(PackError::Size { .. })));
    folder.write("vad.gguf", &[0; 4096]);
    assert!(matches!(Pack::open(&folder.0), Err(PackError::Size { .. })));
}

#[test]
fn a_manifest_with_an_unknown_key_or_a_path_is_refused() {
    let folder = Folder::new("manifest");
    let content = b"the bytes of a model";
    folder.write("vad.gguf", content);
    let mut file = listed(content);
    file.name = "../vad.gguf".to_owned();
    folder.manifest(&file);
    assert!(matches!(
        Pack::open(&folder.0),
        Err(PackError::Manifest { .. })
    ));

    folder.manifest(&listed(content));
    let mut text = fs::read_to_string(folder.0.join(MANIFEST)).unwrap();
    text.push_str("trusted = true\n");
    folder.write(MANIFEST, text.as_bytes());
    assert!(matches!(
        Pack::open(&folder.0),
        Err(PackError::Manifest { .. })
    ));

    folder.write(MANIFEST, &vec![b'#'; 1 << 17]);
    assert!(matches!(Pack::open(&folder.0), Err(PackError::Size { .. })));
}

#[test]
fn what_matches_and_is_no_model_is_refused_with_its_place() {
    let folder = Folder::new("model");
    let content = b"GGUF, and then nothing of the kind";
    folder.write("vad.gguf", content);
    folder.manifest(&listed(content));
    let pack = Pack::open(&folder.0).unwrap();
    let error = pack.vad().map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("vad.gguf: byte "), "{error}");
}

/// The hash counts for the bytes that are parsed, not for those that were there when the pack was opened.
#[test]
fn a_file_that_changes_after_the_pack_was_opened_is_refused() {
    let folder = Folder::new("changed");
    let content = b"the bytes of a model";
    folder.write("vad.gguf", content);
    folder.manifest(&listed(content));
    let pack = Pack::open(&folder.0).unwrap();
    folder.write("vad.gguf", b"the bytes of amodel!");
    assert!(matches!(pack.vad(), Err(PackError::Hash { .. })));
    folder.write("vad.gguf", b"less");
    assert!(matches!(pack.vad(), Err(PackError::Size { .. })));
}
