//! The flags of kubelet's that stand for fields of its configuration file, from the table of fields.

use super::fields::{FIELDS, Field, Kind, OTHER_FLAGS};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use std::collections::BTreeMap;

/// What was typed on the command line, by flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeletFlags {
    typed: BTreeMap<&'static str, Vec<String>>,
}

impl KubeletFlags {
    /// The values a flag was given, in their order; `None` when it was not.
    pub(super) fn typed(&self, flag: &str) -> Option<&[String]> {
        self.typed.get(flag).map(Vec::as_slice)
    }

    /// The flags that were given, belong to no field and have no effect.
    pub(super) fn without_effect(&self) -> impl Iterator<Item = &'static str> {
        let given = |flag: &&str| {
            self.typed(flag)
                .is_some_and(|values| values.iter().any(|value| !value.is_empty()))
        };
        OTHER_FLAGS.iter().map(|(flag, _)| *flag).filter(given)
    }
}

/// Name, help, and whether a value may be left out, of every flag.
fn flags() -> impl Iterator<Item = (&'static str, &'static Field)> {
    FIELDS
        .iter()
        .filter(|field| !field.flag.is_empty())
        .map(|field| (field.flag, field))
}

fn arg(flag: &'static str, switch: bool) -> Arg {
    let arg = Arg::new(flag)
        .long(flag)
        .action(ArgAction::Append)
        .allow_hyphen_values(true);
    if switch {
        arg.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL")
    } else {
        arg.num_args(1)
    }
}

impl Args for KubeletFlags {
    fn augment_args(command: Command) -> Command {
        let acting = flags().map(|(flag, field)| {
            let arg = arg(flag, field.kind == Kind::Bool).value_name(field.kind.value_name());
            // klog's flag has no long name there.
            let arg = if flag == "v" { arg.short('v') } else { arg };
            if field.help.is_empty() {
                arg.hide(true)
            } else {
                arg.help(field.help)
            }
        });
        let others = OTHER_FLAGS
            .iter()
            .map(|(flag, switch)| arg(flag, *switch).hide(true));
        command.args(acting).args(others)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KubeletFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        let names = flags()
            .map(|(flag, _)| flag)
            .chain(OTHER_FLAGS.iter().map(|(flag, _)| *flag));
        for flag in names {
            if matches.value_source(flag) == Some(ValueSource::CommandLine) {
                let values = matches.get_many::<String>(flag).into_iter().flatten().cloned();
                self.typed.insert(flag, values.collect());
            }
        }
        Ok(())
    }
}
