//! Reading arguments as `getopt_long` does (glibc manual, 25.2): clusters of letters, glued values, values
//! after `=`, unique abbreviations, options after operands, and `--`.
//!
//! What is not on the program's list is refused, also where a program would only complain. An abbreviation is
//! written out before it is passed on, so that another version with more options reads what was checked.

use crate::call::Refusal;

use super::table::{Operands, Program};
use super::{paths, refused, shown};

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Text,
    /// A file that is read.
    File,
    /// A value only when it is glued on.
    Maybe,
    /// It is not taken, because it …
    Refused(&'static str),
}

/// One option as the table writes it: `-x`, `-x,--long`, with `=`, `=/`, `=?` or `!why` after the names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    names: &'static str,
    pub(super) takes: Takes,
}

impl Flag {
    pub(super) fn read(entry: &'static str) -> Self {
        let (names, takes) = if let Some((names, why)) = entry.split_once('!') {
            (names, Takes::Refused(why))
        } else if let Some(names) = entry.strip_suffix("=/") {
            (names, Takes::File)
        } else if let Some(names) = entry.strip_suffix("=?") {
            (names, Takes::Maybe)
        } else if let Some(names) = entry.strip_suffix('=') {
            (names, Takes::Text)
        } else {
            (entry, Takes::Nothing)
        };
        Self { names, takes }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.names.split(',')
    }

    fn has(&self, name: &str) -> bool {
        self.names().any(|one| one == name)
    }
}

/// A program's arguments, understood, with abbreviated options written out.
///
/// # Errors
/// `program_refused`, naming the first argument that is not taken.
pub(super) fn inspect(program: &'static Program, args: &[String]) -> Result<Vec<String>, Refusal> {
    match program.operands {
        Operands::Anything => return Ok(args.to_vec()),
        Operands::Test => return test(args),
        _ => {}
    }
    let mut reader = Reader {
        program,
        left: args.iter(),
        out: Vec::with_capacity(args.len()),
        operands: Vec::new(),
        given: Vec::new(),
    };
    while let Some(arg) = reader.left.next() {
        match arg.strip_prefix('-') {
            None | Some("") => reader.operand(arg),
            Some("-") => {
                reader.out.push(arg.clone());
                while let Some(rest) = reader.left.next() {
                    reader.operand(rest);
                }
            }
            Some(rest) => match rest.strip_prefix('-') {
                Some(long) => reader.long(long)?,
                None => reader.cluster(arg, rest)?,
            },
        }
    }
    operands(program, &reader.operands, &reader.given)?;
    Ok(reader.out)
}

struct Reader<'a> {
    program: &'static Program,
    left: std::slice::Iter<'a, String>,
    out: Vec<String>,
    operands: Vec<&'a str>,
    given: Vec<Flag>,
}

impl<'a> Reader<'a> {
    fn operand(&mut self, arg: &'a str) {
        self.out.push(arg.to_owned());
        self.operands.push(arg);
    }

    fn long(&mut self, given: &'a str) -> Result<(), Refusal> {
        let (name, value) = match given.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (given, None),
        };
        let (option, full) = self.resolve(name)?;
        let value = match (option.takes, value) {
            (Takes::Refused(why), _) => return Err(self.dangerous(full, why)),
            (Takes::Nothing, Some(_)) => {
                return Err(refused(
                    format!("`{full}` of `{}` takes no value.", self.program.name),
                    "Leave out what follows it after `=`.",
                ));
            }
            (Takes::Nothing | Takes::Maybe, None) => {
                self.out.push(full.to_owned());
                None
            }
            (Takes::Text | Takes::File, None) => {
                self.out.push(full.to_owned());
                Some(self.next_value(full)?)
            }
            (Takes::Maybe | Takes::Text | Takes::File, Some(value)) => {
                self.out.push(format!("{full}={value}"));
                Some(value)
            }
        };
        if let (Takes::File, Some(value)) = (option.takes, value) {
            paths::check(value)?;
        }
        self.given.push(option);
        Ok(())
    }

    /// The option of an exact long name, or the only one that begins so.
    fn resolve(&self, name: &str) -> Result<(Flag, &'static str), Refusal> {
        let longs = || {
            let named = |option: Flag| option.names().map(move |full| (option, full));
            let all = self.program.options().flat_map(named);
            all.filter_map(|(option, full)| Some((option, full, full.strip_prefix("--")?)))
        };
        if let Some((option, full, _)) = longs().find(|(_, _, long)| *long == name) {
            return Ok((option, full));
        }
        let mut alike = longs().filter(|(_, _, long)| self.program.abbreviates && long.starts_with(name));
        match (alike.next(), alike.next()) {
            (Some((option, full, _)), None) => Ok((option, full)),
            (Some((_, one, _)), Some((_, other, _))) => Err(refused(
                format!(
                    "`--{}` of `{}` can be more than one option.",
                    shown(name),
                    self.program.name
                ),
                format!("Write it out: {one}, {other} …"),
            )),
            _ => Err(self.unknown(&format!("--{name}"))),
        }
    }

    fn cluster(&mut self, arg: &'a str, letters: &'a str) -> Result<(), Refusal> {
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            if letter.is_ascii_digit() && self.program.counts {
                continue;
            }
            let name = format!("-{letter}");
            let Some(option) = self.program.options().find(|option| option.has(&name)) else {
                return Err(self.unknown(&name));
            };
            self.given.push(option);
            let glued = rest.as_str();
            match option.takes {
                Takes::Refused(why) => return Err(self.dangerous(&name, why)),
                Takes::Nothing => {}
                Takes::Maybe => break,
                Takes::Text | Takes::File => {
                    self.out.push(arg.to_owned());
                    let value = if glued.is_empty() {
                        self.next_value(&name)?
                    } else {
                        glued
                    };
                    if option.takes == Takes::File {
                        paths::check(value)?;
                    }
                    return Ok(());
                }
            }
        }
        self.out.push(arg.to_owned());
        Ok(())
    }

    fn next_value(&mut self, name: &str) -> Result<&'a str, Refusal> {
        let Some(value) = self.left.next() else {
            return Err(refused(
                format!("`{name}` of `{}` needs a value.", self.program.name),
                "Put the value after it.",
            ));
        };
        self.out.push(value.clone());
        Ok(value)
    }

    fn dangerous(&self, name: &str, why: &str) -> Refusal {
        let why = match why {
            "writes" => "writes a file",
            "runs" => "starts another program",
            "names" => "takes what to read from a file",
            "waits" => "does not end by itself",
            "follows" => "follows links",
            "devices" => "reads devices",
            _ => "changes the machine",
        };
        refused(
            format!("`{name}` of `{}` {why}.", self.program.name),
            "Leave it out; the output is returned to you.",
        )
    }

    fn unknown(&self, name: &str) -> Refusal {
        let taken = self.program.options();
        let taken: Vec<&str> = taken
            .filter(|option| !matches!(option.takes, Takes::Refused(_)))
            .filter_map(|option| option.names().next())
            .collect();
        refused(
            format!("`{}` of `{}` is not taken here.", shown(name), self.program.name),
            format!("Options that are: {}.", taken.join(" ")),
        )
    }
}

/// Checks what is left when the options are taken away.
fn operands(program: &Program, operands: &[&str], given: &[Flag]) -> Result<(), Refusal> {
    let most = |most: usize| match operands.len() > most {
        true => Err(refused(
            format!("`{}` is taken with at most {most} operands here.", program.name),
            "Call it once for each; where one more would be written to, the output is returned to you instead.",
        )),
        false => Ok(()),
    };
    match program.operands {
        Operands::Anything | Operands::Test | Operands::Text => Ok(()),
        Operands::None => most(0),
        Operands::Files(limit) => {
            most(limit)?;
            operands.iter().try_for_each(|path| paths::check(path))
        }
        // An old form puts a number there, with letters behind it that are options.
        Operands::NotPlus(limit) => match operands.iter().find(|operand| operand.starts_with('+')) {
            Some(old) => Err(refused(
                format!(
                    "`{}` of `{}` is an old form of its options.",
                    shown(old),
                    program.name
                ),
                "Write -n +NUMBER, or ./ before a file's name.",
            )),
            None => {
                most(limit)?;
                operands.iter().try_for_each(|path| paths::check(path))
            }
        },
        Operands::PatternThenFiles(instead) => {
            let has_pattern = given
                .iter()
                .any(|option| instead.iter().any(|name| option.has(name)));
            let files = operands.iter().skip(usize::from(!has_pattern));
            files.into_iter().try_for_each(|path| paths::check(path))
        }
        Operands::Format => {
            most(1)?;
            match operands.iter().find(|operand| !operand.starts_with('+')) {
                Some(operand) => Err(refused(
                    format!("`{}` would set the clock.", shown(operand)),
                    "Begin the format with a +.",
                )),
                None => Ok(()),
            }
        }
    }
}

/// `test`: what is no operator is a file or a text; both have to look like a file below the work folder.
fn test(args: &[String]) -> Result<Vec<String>, Refusal> {
    let is_word = |word: &&String| !word.is_empty() && !word.starts_with(['-', '=', '!', '<', '>', '(', ')']);
    args.iter()
        .filter(is_word)
        .try_for_each(|word| paths::check(word))?;
    Ok(args.to_vec())
}
