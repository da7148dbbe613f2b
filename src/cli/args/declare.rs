//! The form in which commands and their options are declared to `argh`.
//!
//! Owns the macro that makes the struct of a command, from which `argh` derives, out of one line for each
//! option, and groups of options that several commands share, for which `argh` has no means of its own.
//! Must not name an option. Invariant: an option is a field of the struct and a line of help, and an
//! option of a group a field of its texts too.

/// Declares the struct of one command, by statements in the order of its help:
///
/// - `positional NAME "SHOWN" = "help";`
/// - `option NAME "VALUE" = "help";` takes a value, `switch NAME = "help";` takes none.
/// - `group NAME;` has the options of the macro with this name, and gives the struct a method with this
///   name that returns their texts.
macro_rules! args {
    ($(#[$meta:meta])* struct $name:ident { $($rest:tt)* }) => {
        args! { @next { $(#[$meta])* } $name {} {} $($rest)* }
    };

    // `@next ATTRIBUTES NAME FIELDS GROUPS` takes one statement, and adds it to what there is so far.
    (@next $attributes:tt $name:ident { $($fields:tt)* } $groups:tt
        positional $option:ident $shown:tt = $help:tt; $($rest:tt)*) => {
        args! { @next $attributes $name { $($fields)*
            #[doc = $help] #[argh(positional, arg_name = $shown)] pub $option: Vec<String>,
        } $groups $($rest)* }
    };
    (@next $attributes:tt $name:ident { $($fields:tt)* } $groups:tt
        option $option:ident $value:tt = $help:tt; $($rest:tt)*) => {
        args! { @next $attributes $name { $($fields)*
            #[doc = $help] #[argh(option, arg_name = $value)] pub $option: Option<String>,
        } $groups $($rest)* }
    };
    (@next $attributes:tt $name:ident { $($fields:tt)* } $groups:tt
        switch $option:ident = $help:tt; $($rest:tt)*) => {
        args! { @next $attributes $name { $($fields)*
            #[doc = $help] #[argh(switch)] pub $option: bool,
        } $groups $($rest)* }
    };
    (@next $attributes:tt $name:ident $fields:tt $groups:tt group $group:ident; $($rest:tt)*) => {
        $group! { @next $attributes $name $fields $groups $($rest)* }
    };
    (@next { $(#[$meta:meta])* } $name:ident { $($fields:tt)* } { $([$group:ident $texts:ident {
        $($kind:ident $option:ident $($value:literal)? = $help:literal;)*
    }])* }) => {
        #[derive(argh::FromArgs, argh::ArgsInfo, Debug)]
        $(#[$meta])*
        #[argh(subcommand, help_triggers("-h", "--help"))]
        pub(crate) struct $name { $($fields)* }

        impl $name {
            $(
                /// The options of the group, as given.
                pub(crate) fn $group(&self) -> $crate::cli::args::$texts<'_> {
                    $crate::cli::args::$texts { $($option: args!(@text $kind self.$option)),* }
                }
            )*
        }
    };

    // `@group NAME TEXTS NOTES OPTIONS` is a group as its macro has it: among the statements of a command,
    (@group $group:ident $texts:ident [ $($note:tt)* ] { $($options:tt)* }
        @next { $($attributes:tt)* } $name:ident $fields:tt { $($groups:tt)* } $($rest:tt)*) => {
        args! { @next { $($attributes)* $(#[argh(note = $note)])* } $name $fields
            { $($groups)* [$group $texts { $($options)* }] } $($options)* $($rest)* }
    };
    // or as the struct of its texts.
    (@group $group:ident $texts:ident $notes:tt {
        $($kind:ident $option:ident $($value:literal)? = $help:literal;)*
    } @texts) => {
        /// The options of the group, as given.
        pub(crate) struct $texts<'a> { $(pub $option: args!(@type $kind 'a),)* }

        impl $texts<'_> {
            /// The names of the options that are given, in the order of the help.
            pub(crate) fn given(&self) -> impl Iterator<Item = String> {
                let options = [$((stringify!($option), args!(@is_given $kind self.$option))),*];
                let given = options.into_iter().filter(|(_, is_given)| *is_given);
                given.map(|(option, _)| format!("--{}", option.replace('_', "-")))
            }
        }
    };

    (@type positional $life:lifetime) => { &$life [String] };
    (@type option $life:lifetime) => { Option<&$life str> };
    (@type switch $life:lifetime) => { bool };
    (@text positional $field:expr) => { &$field };
    (@text option $field:expr) => { $field.as_deref() };
    (@text switch $field:expr) => { $field };
    (@is_given positional $field:expr) => { !$field.is_empty() };
    (@is_given option $field:expr) => { $field.is_some() };
    (@is_given switch $field:expr) => { $field };
}
