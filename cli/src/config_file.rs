//! Options of `wasocket serve` from a file: `wasocket.toml`, or the one named by `--config`.
//!
//! There is no second list of options. An entry of the file becomes the argument of the same name, which clap validates
//! like those of the command line, unless the command line sets the same option or one that contradicts it. So every
//! option of the command line is also a key of the file.

use std::any::TypeId;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::builder::ValueHint;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, Parser};
use toml::de::{DeInteger, DeTable, DeValue};

use crate::cli::Options;
use crate::commands::serve::swap::UnixPlace;
use wasocket_host::net::listen::Listen;

/// The file to read if none is named.
const FILE: &str = "wasocket.toml";

/// The command whose options may be in the file.
const SERVE: &str = "serve";

/// The longest file to read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Parses the program's arguments, of which the first is its name. For `wasocket serve`, options that they do not set are
/// taken from a file, whose name is returned too.
///
/// # Errors
///
/// If either contains an invalid option or value.
pub fn parse(arguments: Vec<OsString>) -> Result<(Options, Option<PathBuf>), Error> {
    let Some(said) = said(&arguments) else {
        return Ok((Options::try_parse_from(arguments)?, None));
    };
    let file = match said.get_one::<PathBuf>("config") {
        Some(file) => Some((file.clone(), read(file)?)),
        None => read_default()?,
    };
    let Some((file, text)) = file else {
        return Ok((Options::try_parse_from(arguments)?, None));
    };
    let entries = Serve::new().arguments(&file, &text, &said)?;
    Ok((
        Options::try_parse_from(insert(arguments, entries))?,
        Some(file),
    ))
}

/// What the command line sets for `serve`; `None` if it is another command or a request for help. Missing arguments are
/// not reported, as the file may have them.
fn said(arguments: &[OsString]) -> Option<ArgMatches> {
    let lenient = Options::command().ignore_errors(true);
    let mut matches = lenient.try_get_matches_from(arguments).ok()?;
    let (command, said) = matches.remove_subcommand()?;
    (command == SERVE).then_some(said)
}

/// Inserts the entries after the word `serve`. No option that may precede it takes a value of that name.
fn insert(mut arguments: Vec<OsString>, entries: Vec<OsString>) -> Vec<OsString> {
    let is_serve = |argument: &OsString| argument == SERVE;
    let place = arguments.iter().skip(1).position(is_serve);
    let at = place.map_or(arguments.len(), |place| place.saturating_add(2));
    arguments.splice(at..at, entries);
    arguments
}

/// The file in the working directory, if it exists. Whoever writes it decides what this process serves and where, so it
/// must be the user's own: no one checks every folder before running a command in it.
fn read_default() -> Result<Option<(PathBuf, String)>, FileError> {
    let file = Path::new(FILE);
    let Ok(metadata) = file.metadata() else {
        return Ok(None);
    };
    let is_own = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    if !is_own || metadata.mode() & 0o002 != 0 {
        let problem = format!(
            "others could have written it, so it is not read by default: name it with --config {FILE}, or run this in \
             another folder"
        );
        return Err(FileError::new(file, problem));
    }
    Ok(Some((file.to_owned(), read(file)?)))
}

fn read(file: &Path) -> Result<String, FileError> {
    let read = || {
        let mut text = String::new();
        let length = File::open(file)?
            .take(MAX_FILE + 1)
            .read_to_string(&mut text)? as u64;
        if length > MAX_FILE {
            Err(io::Error::other("it has more than 1 MiB"))
        } else {
            Ok(text)
        }
    };
    read().map_err(|error| FileError::new(file, format!("it cannot be read: {error}")))
}

/// clap's definition of `wasocket serve`.
struct Serve {
    command: Command,
    /// The options that may be in a file.
    options: Vec<Arg>,
}

impl Serve {
    fn new() -> Self {
        let mut command = Options::command();
        // Adds the global options to this command's.
        command.build();
        let serve = command.find_subcommand(SERVE);
        let options = serve.into_iter().flat_map(Command::get_arguments);
        let options = options.filter(|option| is_for_files(option));
        Self {
            options: options.cloned().collect(),
            command,
        }
    }

    /// The file's entries that the command line does not override, as arguments.
    fn arguments(
        &self,
        file: &Path,
        text: &str,
        said: &ArgMatches,
    ) -> Result<Vec<OsString>, FileError> {
        let wrong = |span: Option<Range<usize>>, problem: String| FileError {
            line: span.map(|span| line(text, span.start)),
            ..FileError::new(file, problem)
        };
        let table = DeTable::parse(text)
            .map_err(|error| wrong(error.span(), error.message().to_owned()))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut arguments = vec![];
        for (key, value) in table.get_ref() {
            let option = self.option(key.get_ref());
            let option = option.map_err(|problem| wrong(Some(key.span()), problem))?;
            let entry = entry(option, value.get_ref(), folder)
                .and_then(|entry| self.check(&entry).map(|()| entry))
                .map_err(|problem| wrong(Some(key.span()), problem))?;
            if !self.is_said(option, said) {
                arguments.extend(entry);
            }
        }
        Ok(arguments)
    }

    fn option(&self, key: &str) -> Result<&Arg, String> {
        let option = self.options.iter().find(|option| name(option) == key);
        option.ok_or_else(|| match self.nearest(key) {
            Some(nearest) => format!("unknown key `{key}`: did you mean `{nearest}`?"),
            None => format!(
                "unknown key `{key}`: the keys are the names of the options, see `wasocket serve --help`"
            ),
        })
    }

    /// What clap would suggest for an option of this name.
    fn nearest(&self, key: &str) -> Option<String> {
        let error = self.parse(&[format!("--{key}").into()]).err()?;
        let ContextValue::String(nearest) = error.get(ContextKind::SuggestedArg)? else {
            return None;
        };
        let nearest = nearest.trim_start_matches('-');
        let is_key = self.options.iter().any(|option| name(option) == nearest);
        is_key.then(|| nearest.to_owned())
    }

    /// Checks an entry by itself, so that an error can name its line. Its relations to other options are checked later,
    /// with all of them.
    fn check(&self, entry: &[OsString]) -> Result<(), String> {
        match self.parse(entry) {
            Err(error) if error.kind() != ErrorKind::MissingRequiredArgument => {
                Err(first_words(&error))
            }
            _ => Ok(()),
        }
    }

    fn parse(&self, arguments: &[OsString]) -> Result<ArgMatches, clap::Error> {
        let line = [self.command.get_name(), SERVE].map(OsString::from);
        let line = line.iter().chain(arguments);
        self.command.clone().try_get_matches_from(line)
    }

    /// Whether the command line sets this option, or one that conflicts with it.
    fn is_said(&self, option: &Arg, said: &ArgMatches) -> bool {
        let excludes = |one: &Arg, other: &Arg| {
            let serve = self.command.find_subcommand(SERVE);
            let excluded = serve.map(|serve| serve.get_arg_conflicts_with(one));
            excluded.is_some_and(|excluded| excluded.iter().any(|it| it.get_id() == other.get_id()))
        };
        let here =
            |one: &&Arg| said.value_source(one.get_id().as_str()) == Some(ValueSource::CommandLine);
        self.options.iter().filter(here).any(|one| {
            one.get_id() == option.get_id() || excludes(one, option) || excludes(option, one)
        })
    }
}

/// All options except `--config` and help.
fn is_for_files(option: &Arg) -> bool {
    let has_value_or_not = matches!(
        option.get_action(),
        ArgAction::Set | ArgAction::Append | ArgAction::SetTrue
    );
    has_value_or_not && option.get_id() != "config"
}

/// The long name of an option; for a positional argument, its id.
fn name(option: &Arg) -> &str {
    option.get_long().unwrap_or(option.get_id().as_str())
}

/// The arguments that an entry stands for.
fn entry(option: &Arg, value: &DeValue<'_>, folder: &Path) -> Result<Vec<OsString>, String> {
    let is_flag = matches!(option.get_action(), ArgAction::SetTrue);
    let is_map = option.get_value_names() == Some(&["NAME=VALUE".into()]);
    match value {
        DeValue::Boolean(false) if is_flag => Ok(vec![]),
        DeValue::Boolean(true) if is_flag => Ok(vec![format!("--{}", name(option)).into()]),
        _ if is_flag => Err(format!("`{}` is true or false", name(option))),
        DeValue::Array(values) => values
            .iter()
            .map(|value| argument(option, text(value.get_ref())?, folder))
            .collect(),
        DeValue::Table(values) if is_map => values
            .iter()
            .map(|(name, value)| {
                let value = format!("{}={}", name.get_ref(), text(value.get_ref())?);
                argument(option, value, folder)
            })
            .collect(),
        value => Ok(vec![argument(option, text(value)?, folder)?]),
    }
}

fn argument(option: &Arg, value: String, folder: &Path) -> Result<OsString, String> {
    // The system would end the argument there.
    if value.contains('\0') {
        return Err(format!("a value of `{}` contains a NUL", name(option)));
    }
    let value = in_folder(option, value, folder);
    Ok(match option.get_long() {
        Some(long) => {
            let mut argument = OsString::from(format!("--{long}="));
            argument.push(value);
            argument
        }
        None => value,
    })
}

/// Paths are relative to the file, wherever the program runs.
fn in_folder(option: &Arg, value: String, folder: &Path) -> OsString {
    let hint = option.get_value_hint();
    if hint == ValueHint::AnyPath || hint == ValueHint::DirPath {
        return folder.join(value).into();
    }
    let of = option.get_value_parser().type_id();
    let is_place = of == TypeId::of::<Listen>() || of == TypeId::of::<UnixPlace>();
    match value.strip_prefix("unix:").filter(|_| is_place) {
        Some(path) => {
            let mut place = OsString::from("unix:");
            place.push(folder.join(path));
            place
        }
        None => value.into(),
    }
}

/// A value as it would be on the command line.
fn text(value: &DeValue<'_>) -> Result<String, String> {
    Ok(match value {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Integer(number) => integer(number),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(is_true) => is_true.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            let kind = value.type_str();
            return Err(format!("expected a text or a number, not {kind}"));
        }
    })
}

/// In decimal, whatever base it is written in.
fn integer(number: &DeInteger<'_>) -> String {
    let value = i128::from_str_radix(number.as_str(), number.radix());
    value.map_or_else(|_| number.as_str().to_owned(), |value| value.to_string())
}

/// The message of a clap error, without the usage of the command line.
fn first_words(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let words = text.split("\n\n").next().unwrap_or_default();
    let words = words.trim_start_matches("error: ").split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

/// The number of the line that contains this byte.
fn line(text: &str, place: usize) -> usize {
    let before = text.as_bytes().iter().take(place);
    before
        .filter(|byte| **byte == b'\n')
        .count()
        .saturating_add(1)
}

/// Why options could not be parsed.
#[derive(Debug)]
pub enum Error {
    /// The command line is wrong, or asks for help.
    CommandLine(clap::Error),
    /// The file is wrong.
    File(FileError),
}

impl From<clap::Error> for Error {
    fn from(error: clap::Error) -> Self {
        Self::CommandLine(error)
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(error) => error.fmt(f),
            Self::File(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// A problem of an options file, and its line.
#[derive(Debug)]
pub struct FileError {
    file: PathBuf,
    line: Option<usize>,
    problem: String,
}

impl FileError {
    fn new(file: &Path, problem: String) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            problem,
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.problem)
    }
}

impl std::error::Error for FileError {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PAGE: &str = include_str!("../../docs/configuration.md");

    /// The example in the documentation, including what is commented out in it.
    fn example() -> String {
        let (_, example) = PAGE.split_once("```toml\n").unwrap_or_default();
        let (example, _) = example.split_once("```").unwrap_or_default();
        let lines = example.lines().map(|line| match line.strip_prefix('#') {
            Some(entry) if !entry.starts_with(' ') => entry,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn read(
        file: &str,
        text: &str,
        line: &[&str],
    ) -> Result<crate::commands::serve::args::Serve, Error> {
        let line: Vec<OsString> = ["wasocket", SERVE]
            .iter()
            .chain(line)
            .map(OsString::from)
            .collect();
        let said = said(&line).ok_or_else(|| FileError::new(Path::new(file), "said".to_owned()))?;
        let entries = Serve::new().arguments(Path::new(file), text, &said)?;
        match Options::try_parse_from(insert(line, entries))?.command {
            crate::cli::Command::Serve(serve) => Ok(*serve),
            other => Err(FileError::new(Path::new(file), format!("{other:?}")).into()),
        }
    }

    fn problem(text: &str, line: &[&str]) -> String {
        match read("a.toml", text, line) {
            Ok(serve) => format!("{serve:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_example_has_every_option() -> Result<(), Error> {
        let example = example();
        let table = DeTable::parse(&example)
            .map_err(|error| FileError::new(Path::new("example"), error.to_string()))?;
        let keys: BTreeSet<_> = table
            .get_ref()
            .keys()
            .map(|key| key.get_ref().to_string())
            .collect();
        let serve = Serve::new();
        let options: BTreeSet<_> = serve
            .options
            .iter()
            .map(|option| name(option).to_owned())
            .collect();
        assert_eq!(keys, options, "docs/configuration.md has all options");
        assert!(keys.contains("quiet") && keys.contains("max-connections"));
        read("a.toml", &example, &[])?;
        Ok(())
    }

    #[test]
    fn the_example_without_comments_is_the_defaults() -> Result<(), Error> {
        let (_, example) = PAGE.split_once("```toml\n").unwrap_or_default();
        let (example, _) = example.split_once("```").unwrap_or_default();
        let mut serve = read("a.toml", example, &[])?;
        assert_eq!(serve.component.take(), Some("app.wasm".into()));
        assert_eq!(serve.env.pop(), Some(("GREETING".into(), "hello".into())));
        let defaults = read("a.toml", "", &[])?;
        assert_eq!(format!("{serve:?}"), format!("{defaults:?}"));
        Ok(())
    }

    #[test]
    fn the_command_line_overrides_the_file() -> Result<(), Error> {
        let file = "memory = 0x20\ncall-timeout = 7\nlisten = ['[::]:1', '[::]:2']\ncomponent = 'a'\nquiet = true";
        let serve = read("a.toml", file, &[])?;
        assert_eq!(
            (serve.memory, serve.call_timeout, serve.sockets.listen.len()),
            (32, 7, 2)
        );
        let line = ["--memory=9", "--listen=[::]:3", "b", "--verbose"];
        let serve = read("a.toml", file, &line)?;
        assert_eq!(
            (serve.memory, serve.call_timeout, serve.sockets.listen.len()),
            (9, 7, 1)
        );
        assert_eq!(serve.component, Some("b".into()));
        // Options that require each other may be on different sides.
        let serve = read("a.toml", "tls-cert = 'c'", &["--tls-key", "k"])?;
        assert!(serve.sockets.tls_cert.is_some() && serve.sockets.tls_key.is_some());
        assert!(problem("tls-cert = 'c'", &[]).contains("--tls-key"));
        assert!(read("a.toml", "component = 'a'", &["--watch"])?.watch);
        Ok(())
    }

    #[test]
    fn paths_are_relative_to_the_file() -> Result<(), Error> {
        let file = "component = 'a.wasm'\nlisten = 'unix:x.sock'\ntls-cert = '/c'\ntls-key = 'k'\n\
                    take-over-from = 'unix:h.sock'";
        let serve = read("/etc/wasocket/a.toml", file, &[])?;
        assert_eq!(serve.component, Some("/etc/wasocket/a.wasm".into()));
        assert_eq!(
            serve.sockets.listen,
            [Listen::Unix("/etc/wasocket/x.sock".into())]
        );
        assert_eq!(serve.sockets.tls_cert, Some("/c".into()));
        assert_eq!(serve.sockets.tls_key, Some("/etc/wasocket/k".into()));
        let post = serve.swap.take_over_from.map(|UnixPlace(path)| path);
        assert_eq!(post, Some("/etc/wasocket/h.sock".into()));
        let serve = read("/etc/a.toml", "component = 'a'", &["b"])?;
        assert_eq!(serve.component, Some("b".into()));
        Ok(())
    }

    #[test]
    fn errors_name_the_line() {
        for (text, expected) in [
            (
                "\nmax-conections = 500",
                "a.toml:2: unknown key `max-conections`: did you mean `max-connections`?",
            ),
            (
                "zzz = 1",
                "a.toml:1: unknown key `zzz`: the keys are the names",
            ),
            ("[env]\nA = 1\n[tls]", "a.toml:3: unknown key `tls`"),
            ("help = true", "a.toml:1: unknown key `help`"),
            ("config = 'b'", "a.toml:1: unknown key `config`"),
            (
                "# a\n# b\nmax-connections = 'many'",
                "a.toml:3: invalid value 'many' for '--max-connections <N>': invalid digit",
            ),
            (
                "memory = 5000",
                "a.toml:1: invalid value '5000' for '--memory <MIB>': 5000 is not in 1..=4096",
            ),
            ("memory = -1", "a.toml:1: invalid value '-1'"),
            ("memory = 1.5", "a.toml:1: invalid value '1.5'"),
            (
                "memory = [1, 2]",
                "a.toml:1: the argument '--memory <MIB>' cannot be used",
            ),
            ("log-format = 'xml'", "[possible values: text, json]"),
            (
                "listen = 'nowhere'",
                "a.toml:1: invalid value 'nowhere' for '--listen",
            ),
            ("watch = 1", "a.toml:1: `watch` is true or false"),
            (
                "memory = 1979-05-27",
                "a.toml:1: expected a text or a number, not datetime",
            ),
            (
                "memory = { a = 1 }",
                "a.toml:1: expected a text or a number, not table",
            ),
            (
                "env = [['A=1']]",
                "a.toml:1: expected a text or a number, not array",
            ),
            ("env = { '' = 1 }", "a.toml:1: invalid value '=1'"),
            (
                "env = { A = \"\\u0000\" }",
                "a.toml:1: a value of `env` contains a NUL",
            ),
            ("memory = 1\nmemory = 2", "a.toml:2: duplicate key"),
            ("memory =", "a.toml:1: "),
        ] {
            let problem = problem(text, &[]);
            assert!(problem.contains(expected), "{text:?}: {problem}");
        }
    }

    #[test]
    fn other_commands_have_no_file() -> Result<(), Error> {
        let line = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(said(&line(&["wasocket", "check", "serve"])).is_none());
        assert!(said(&line(&["wasocket", "serve", "--help"])).is_none());
        let (options, file) = parse(line(&["wasocket", "check", "a.wasm"]))?;
        assert!(matches!(options.command, crate::cli::Command::Check(_)) && file.is_none());
        let line = line(&["wasocket", "--log-format", "json", "serve", "serve"]);
        let inserted = insert(line, vec!["--watch".into()]);
        assert_eq!(inserted[4..], ["--watch", "serve"]);
        Ok(())
    }
}
