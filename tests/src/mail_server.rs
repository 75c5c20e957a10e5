//! A mail server for tests: it speaks as much SMTP as a mail needs, on this machine and without encryption.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerMode {
    /// It accepts every mail and every login.
    Takes,
    /// It refuses every login, and repeats in its answer what it was sent.
    RefusesLogin,
    /// It accepts connections and sends nothing until the client goes.
    Hangs,
}

/// A mail as it arrived.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The receivers as the server was told them, without brackets.
    pub receivers: Vec<String>,
    /// The header, one line for each field.
    pub head: Vec<String>,
    /// The text.
    pub body: String,
}

/// A server that lives as long as the test.
#[derive(Debug)]
pub struct MailServer {
    port: u16,
    told: Receiver<Told>,
}

#[derive(Debug)]
enum Told {
    Line(String),
    Mail(Mail),
}

impl MailServer {
    /// Listens on a free port.
    ///
    /// # Panics
    /// There is no free port.
    #[must_use]
    pub fn start(mode: ServerMode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (tell, told) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                // A client may go at any time.
                thread::spawn(move || drop(serve(stream, mode, &tell)));
            }
        });
        Self { port, told }
    }

    /// The port on which it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The configuration that sends mail to it.
    #[must_use]
    pub fn config(&self) -> String {
        format!(
            "[smtp]\nenable = true\nserver-host = \"127.0.0.1\"\nserver-port = {}\nuser = \"jo@example.org\"\n\
             receiver = [\"Ann <ann@example.org>\", \"bob@example.org\"]\n",
            self.port
        )
    }

    /// Waits for the next mail.
    ///
    /// # Panics
    /// The server is gone.
    #[must_use]
    pub fn next_mail(&self) -> Mail {
        loop {
            if let Told::Mail(mail) = self.told.recv().expect("the server lives") {
                return mail;
            }
        }
    }

    /// The mails that have arrived.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.told
            .try_iter()
            .filter_map(|told| if let Told::Mail(mail) = told { Some(mail) } else { None })
            .collect()
    }

    /// The lines of clients, without the mails.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.told
            .try_iter()
            .filter_map(|told| if let Told::Line(line) = told { Some(line) } else { None })
            .collect()
    }
}

impl Mail {
    /// The subject, if it is plain text.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.field("Subject")
    }

    /// The value of a header field; empty if there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        let value = |line: &'_ String| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(": "));
        self.head.iter().find(|line| value(line)).map_or("", |line| &line[name.len() + 2..])
    }
}

fn serve(stream: TcpStream, mode: ServerMode, tell: &Sender<Told>) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    if mode == ServerMode::Hangs {
        while lines.next().transpose()?.is_some() {}
        return Ok(());
    }
    out.write_all(b"220 here\r\n")?;
    let mut receivers = Vec::new();
    while let Some(line) = lines.next().transpose()? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let _ = tell.send(Told::Line(line.clone()));
        let answer = match verb.as_str() {
            "EHLO" => "250-here\r\n250 AUTH PLAIN LOGIN\r\n".to_owned(),
            "AUTH" if mode == ServerMode::RefusesLogin => format!("535 what is {line}?\r\n"),
            "AUTH" => "235 welcome\r\n".into(),
            "RCPT" => {
                let receiver = line.split(['<', '>']).nth(1).unwrap_or_default();
                receivers.push(receiver.to_owned());
                "250 yes\r\n".into()
            }
            "DATA" => {
                out.write_all(b"354 go on\r\n")?;
                let mut text = Vec::new();
                for line in lines.by_ref() {
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    text.push(line.strip_prefix('.').map_or(line.clone(), str::to_owned));
                }
                let mail = mail(std::mem::take(&mut receivers), &text);
                // Sent before the answer to the client, so that the mail is there when the client has ended.
                let _ = tell.send(Told::Mail(mail));
                "250 taken\r\n".into()
            }
            "QUIT" => {
                out.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => "250 yes\r\n".into(),
        };
        out.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn mail(receivers: Vec<String>, text: &[String]) -> Mail {
    let end = text.iter().position(String::is_empty).unwrap_or(text.len());
    let mut head: Vec<String> = Vec::new();
    for line in &text[..end] {
        match (line.strip_prefix(' '), head.last_mut()) {
            // A long field continues in the next line.
            (Some(rest), Some(field)) => *field = format!("{field} {rest}"),
            _ => head.push(line.clone()),
        }
    }
    let body = text.get(end + 1..).unwrap_or_default().join("\n");
    let quoted = head.iter().any(|field| field == "Content-Transfer-Encoding: quoted-printable");
    let body = if quoted { unquoted(&body) } else { body };
    Mail { receivers, head, body }
}

/// The text behind quoted-printable.
fn unquoted(text: &str) -> String {
    let text = text.replace("=\n", "");
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('=');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).expect("a byte in hexadecimal"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).expect("text")
}
