//! Questions and their answers: a flag's value, else the operator's answer, else the default. It knows no question.

use anyhow::Context as _;

use super::console::Console;
use crate::cli::format::plain;
use crate::cli::say;
use crate::cli::usage_error::UsageError;

/// A question, and the flag that answers it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) flag: &'static str,
    pub(super) text: &'static str,
}

/// One of several answers: a word, and what it means.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) word: String,
    pub(super) meaning: String,
}

/// Asks, if there is somebody to ask.
pub(super) struct Dialog(Option<Console>);

impl Choice {
    pub(super) fn new(word: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { word: word.into(), meaning: meaning.into() }
    }
}

impl Dialog {
    /// A dialog on this console. `None`: nothing is asked.
    pub(super) fn new(console: Option<Console>) -> Self {
        Self(console)
    }

    /// Whether questions are asked.
    pub(super) fn asks(&self) -> bool {
        self.0.is_some()
    }

    /// Prints a remark, to standard error.
    pub(super) fn say(&mut self, text: &str) {
        match &mut self.0 {
            Some(console) => console.say(text),
            None => text.lines().for_each(|line| say(format_args!("{}", plain(line)))),
        }
    }

    /// Returns the value of a flag, else the answer, else the default. `read` parses a text, or says why it cannot be; a wrong answer
    /// is asked for again, a wrong flag is an error.
    pub(super) async fn answer<T>(
        &mut self,
        question: Question,
        given: Option<&str>,
        default: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> anyhow::Result<T> {
        let Question { flag, text } = question;
        if let Some(given) = given {
            return read(given).map_err(|reason| UsageError::new(format!("{flag} {given:?}: {reason}")).into());
        }
        let Some(console) = &mut self.0 else {
            let default = default.ok_or_else(|| UsageError::new(format!("{flag} is missing")))?;
            return read(default).map_err(|reason| UsageError::new(format!("{flag} {default:?}: {reason}")).into());
        };
        let prompt = match default {
            Some(default) => format!("{text} [{default}]: "),
            None => format!("{text}: "),
        };
        loop {
            let line = read_line(console, &prompt, false).await?;
            let answer = if line.is_empty() { default.unwrap_or_default() } else { line.as_str() };
            match read(answer) {
                Ok(value) => return Ok(value),
                Err(_) if answer.is_empty() => console.say("  Please answer this question."),
                Err(reason) => console.say(&format!("  {reason}")),
            }
        }
    }

    /// Returns the word of one of the choices. An answer is a word or its number.
    pub(super) async fn choose(
        &mut self,
        question: Question,
        given: Option<&str>,
        default: &str,
        choices: &[Choice],
    ) -> anyhow::Result<String> {
        if given.is_none() && self.asks() {
            let width = choices.iter().map(|choice| choice.word.chars().count()).max().unwrap_or(0);
            let lines = (1..).zip(choices).map(|(number, choice)| {
                format!("  {number:>2}  {:<width$}  {}", choice.word, choice.meaning).trim_end().to_owned()
            });
            let lines: Vec<_> = lines.collect();
            self.say(&format!("\n{}", lines.join("\n")));
        }
        let read = |text: &str| pick(choices, text);
        self.answer(question, given, Some(default), read).await
    }

    /// Asks for yes or no. Without a console, the answer is the default.
    pub(super) async fn confirm(&mut self, text: &str, default: bool) -> anyhow::Result<bool> {
        let Some(console) = &mut self.0 else { return Ok(default) };
        let prompt = format!("{text} [{}] ", if default { "Y/n" } else { "y/N" });
        loop {
            match read_line(console, &prompt, false).await?.to_ascii_lowercase().as_str() {
                "" => return Ok(default),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => console.say("  Please answer yes or no."),
            }
        }
    }

    /// Returns an answer that the terminal does not show.
    pub(super) async fn secret(&mut self, question: Question) -> anyhow::Result<String> {
        let console = self.0.as_mut().ok_or_else(|| UsageError::new(format!("{} is missing", question.flag)))?;
        loop {
            let line = read_line(console, &format!("{}: ", question.text), true).await?;
            if !line.is_empty() {
                return Ok(line);
            }
            console.say("  Please answer this question.");
        }
    }
}

async fn read_line(console: &mut Console, prompt: &str, is_hidden: bool) -> anyhow::Result<String> {
    let line = console.line(prompt, is_hidden).await.context("cannot read the answer")?;
    line.context("the input has ended before the last question; nothing was written")
}

/// The word of the choice that a text names.
fn pick(choices: &[Choice], text: &str) -> Result<String, String> {
    let by_number = text.parse::<usize>().ok().and_then(|number| choices.get(number.checked_sub(1)?));
    let chosen = choices.iter().find(|choice| choice.word == text).or(by_number);
    chosen.map(|choice| choice.word.clone()).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|choice| choice.word.as_str()).collect();
        format!("expected one of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    const NAME: Question = Question { flag: "--name", text: "Name" };

    /// Keeps what a console prints.
    #[derive(Clone, Default)]
    struct Transcript(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Transcript {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn dialog(lines: &'static str) -> (Dialog, Transcript) {
        let transcript = Transcript::default();
        (Dialog::new(Some(Console::scripted(lines, transcript.clone()))), transcript)
    }

    fn number(text: &str) -> Result<u32, String> {
        text.parse().map_err(|_| "expected a number".to_owned())
    }

    #[tokio::test]
    async fn wrong_answer_is_asked_again() {
        let (mut dialog, transcript) = dialog("x\n\n 7 \n\n");
        assert_eq!(dialog.answer(NAME, None, None, number).await.unwrap(), 7);
        assert_eq!(dialog.answer(NAME, None, Some("8"), number).await.unwrap(), 8);
        let text = String::from_utf8(transcript.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "Name:   expected a number\nName:   Please answer this question.\nName: Name [8]: ");
    }

    #[tokio::test]
    async fn flag_and_default_need_no_console() {
        let mut silent = Dialog::new(None);
        assert_eq!(silent.answer(NAME, Some("7"), None, number).await.unwrap(), 7);
        assert_eq!(silent.answer(NAME, None, Some("8"), number).await.unwrap(), 8);
        let missing = silent.answer(NAME, None, None, number).await.unwrap_err();
        assert_eq!(missing.to_string(), "--name is missing");
        let wrong = silent.answer(NAME, Some("x"), None, number).await.unwrap_err();
        assert!(wrong.is::<UsageError>(), "exit status 2");
        assert_eq!(wrong.to_string(), "--name \"x\": expected a number");
        assert!(silent.confirm("Go on?", true).await.unwrap());
    }

    #[tokio::test]
    async fn choice_is_word_or_number() {
        let choices = [Choice::new("off", "nothing"), Choice::new("proxy", "answers")];
        let (mut dialog, transcript) = dialog("3\n2\noff\n\n");
        let mut chosen = Vec::new();
        for _ in 0..3 {
            chosen.push(dialog.choose(NAME, None, "proxy", &choices).await.unwrap());
        }
        assert_eq!(chosen, ["proxy", "off", "proxy"]);
        let text = String::from_utf8(transcript.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("   1  off    nothing\n   2  proxy  answers\n"), "{text}");
        assert!(text.contains("expected one of off, proxy"), "{text}");
    }

    #[tokio::test]
    async fn end_of_input_is_an_error() {
        let (mut dialog, _) = dialog("perhaps\nNo\n");
        assert!(!dialog.confirm("Go on?", true).await.unwrap());
        let error = dialog.secret(NAME).await.unwrap_err().to_string();
        assert!(error.starts_with("the input has ended"), "{error}");
    }
}
