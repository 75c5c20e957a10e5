//! `Account`: the mail server, the sender and the receivers.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fedflow_core::SmtpConfig;
use lettre::address::AddressError;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{SmtpTransport, Transport as _};

use super::message::MailMessage;
use crate::view::escape;

/// The limit for connecting, and for each step of the conversation with the server.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// The port on which TLS starts with the first byte.
const IMPLICIT_TLS_PORT: u16 = 465;
/// The port of mail between servers, and of a machine's own relay.
const RELAY_PORT: u16 = 25;
/// The most characters of a server's answer that a message repeats.
const MAX_ANSWER: usize = 300;

/// The way by which mail is sent.
pub(crate) struct Account {
    host: String,
    port: u16,
    user: String,
    /// The password; without a login it is empty.
    password: String,
    encryption: Encryption,
    sender: Mailbox,
    receivers: Vec<Mailbox>,
}

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    /// TLS from the first byte.
    Implicit,
    /// TLS by STARTTLS; a server that does not offer it gets no mail.
    StartTls,
    /// TLS if the server offers it. Only where no password is sent.
    IfOffered,
    /// No encryption: the connection does not leave the machine.
    Plain,
}

/// Why mail cannot be sent with this configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    /// No server is named.
    #[error("smtp.server-host is not set, so there is no server to send mail through")]
    NoHost,
    /// No receiver is named.
    #[error("smtp.receiver is not set, so mail has no receiver")]
    NoReceiver,
    /// A receiver is no address.
    #[error("smtp.receiver: {receiver:?} is no mail address: {reason}")]
    BadReceiver {
        /// The receiver as it is written.
        receiver: String,
        /// The reason why it is none.
        reason: AddressError,
    },
}

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
#[error("{host}:{port}: {reason}")]
pub(crate) struct SendError {
    host: String,
    port: u16,
    reason: String,
    hint: Option<&'static str>,
}

impl AccountError {
    /// The hint for the user.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NoHost => "set smtp.server-host in fedflow.toml, or smtp.enable = false",
            Self::NoReceiver => {
                "set smtp.receiver = [\"you@example.org\"] in fedflow.toml, or smtp.enable = false"
            }
            Self::BadReceiver { .. } => "an address looks like you@example.org or You <you@example.org>",
        }
    }
}

impl SendError {
    /// The hint for the user; `None` if there is none.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        self.hint
    }
}

impl Account {
    /// Reads the configuration, whether or not mail is enabled. It connects to no server.
    ///
    /// # Errors
    /// The server or the receivers are missing, or a receiver is no address.
    pub(crate) fn read(config: &SmtpConfig) -> Result<Self, AccountError> {
        let host = config.server_host.trim().to_owned();
        if host.is_empty() {
            return Err(AccountError::NoHost);
        }
        let receivers = config
            .receiver
            .iter()
            .map(|receiver| {
                receiver
                    .trim()
                    .parse::<Mailbox>()
                    .map_err(|reason| AccountError::BadReceiver { receiver: receiver.clone(), reason })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let Some(first) = receivers.first() else { return Err(AccountError::NoReceiver) };
        // Servers want the account's own address. If the user name is none, the account most likely belongs to the first
        // receiver.
        let address = config.user.trim().parse().unwrap_or_else(|_| first.email.clone());
        Ok(Self {
            encryption: Encryption::of(&host, config.server_port, !config.password.is_empty()),
            port: config.server_port,
            user: config.user.clone(),
            password: config.password.clone(),
            sender: Mailbox::new(Some("Fedflow".into()), address),
            receivers,
            host,
        })
    }

    /// Connects and sends one mail. Blocks for as long as the server takes, 30 s at most for each step.
    ///
    /// # Errors
    /// The server cannot be reached, or does not take the mail.
    pub(crate) fn send(&self, mail: &MailMessage) -> Result<(), SendError> {
        let message = self.encode(mail).map_err(|error| self.unsent(&error.to_string(), None))?;
        let transport = self.transport().map_err(|error| self.failed(&error))?;
        transport.send(&message).map_err(|error| self.failed(&error))?;
        Ok(())
    }

    /// The receivers and the way to them, for the user.
    pub(crate) fn describe(&self) -> String {
        let receivers: Vec<String> =
            self.receivers.iter().map(|receiver| escape(receiver.email.as_ref())).collect();
        let protection = match self.encryption {
            Encryption::Implicit => "TLS",
            Encryption::StartTls => "STARTTLS",
            Encryption::IfOffered => "STARTTLS if offered",
            Encryption::Plain => "no encryption on this machine",
        };
        let login = if self.password.is_empty() { "no login" } else { "with login" };
        let host = escape(&self.host);
        format!("{} through {host}:{} ({protection}, {login})", receivers.join(", "), self.port)
    }

    fn encode(&self, mail: &MailMessage) -> Result<Message, lettre::error::Error> {
        let builder = self.receivers.iter().fold(Message::builder(), |builder, to| builder.to(to.clone()));
        builder
            .from(self.sender.clone())
            .subject(mail.subject.clone())
            .message_id(None)
            // So that no absence note answers.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".into(),
            ))
            .header(ContentType::TEXT_PLAIN)
            .body(mail.body.clone())
    }

    fn transport(&self) -> Result<SmtpTransport, lettre::transport::smtp::Error> {
        let tls = || TlsParameters::new(self.host.clone());
        let tls = match self.encryption {
            Encryption::Implicit => Tls::Wrapper(tls()?),
            Encryption::StartTls => Tls::Required(tls()?),
            Encryption::IfOffered => Tls::Opportunistic(tls()?),
            Encryption::Plain => Tls::None,
        };
        let builder =
            SmtpTransport::builder_dangerous(&self.host).port(self.port).tls(tls).timeout(Some(STEP_TIMEOUT));
        Ok(if self.password.is_empty() {
            builder.build()
        } else {
            builder.credentials(Credentials::new(self.user.clone(), self.password.clone())).build()
        })
    }

    fn failed(&self, error: &lettre::transport::smtp::Error) -> SendError {
        let text = error.to_string();
        let code = error.status().map(u16::from);
        let hint = match (code, self.password.is_empty()) {
            (Some(530 | 534 | 535 | 538), true) => Some(
                "the server wants a login: set smtp.user, and smtp.password in fedflow.toml or FEDFLOW_CONFIG_SMTP_PASSWORD",
            ),
            (Some(534 | 535), false) => Some("smtp.user or smtp.password is not what the server expects"),
            (None, _) if text.contains("certificate") => {
                Some("the server's certificate must be for smtp.server-host and one that this machine trusts")
            }
            (None, _) => Some(
                "are smtp.server-host and smtp.server-port right? Port 465 speaks TLS at once, others after STARTTLS",
            ),
            _ => None,
        };
        self.unsent(&text, hint)
    }

    /// The reason may repeat the server's words. They are data, and must not show the password.
    fn unsent(&self, reason: &str, hint: Option<&'static str>) -> SendError {
        let mut reason = reason.to_owned();
        if !self.password.is_empty() {
            let login = format!("\0{}\0{}", self.user, self.password);
            for secret in [STANDARD.encode(login), STANDARD.encode(&self.password), self.password.clone()] {
                reason = reason.replace(&secret, "(secret)");
            }
        }
        let reason = escape(&reason.chars().take(MAX_ANSWER).collect::<String>());
        SendError { host: escape(&self.host), port: self.port, reason, hint }
    }
}

impl Encryption {
    fn of(host: &str, port: u16, has_password: bool) -> Self {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let stays_here =
            host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback());
        match port {
            IMPLICIT_TLS_PORT => Self::Implicit,
            _ if stays_here => Self::Plain,
            // An attacker in between could remove the server's offer and read the password.
            RELAY_PORT if !has_password => Self::IfOffered,
            _ => Self::StartTls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    fn config(host: &str, port: u16) -> SmtpConfig {
        SmtpConfig {
            server_host: host.into(),
            server_port: port,
            user: "jo".into(),
            password: "hunter2".into(),
            receiver: vec!["Ann <ann@example.org>".into(), "bob@example.org".into()],
            ..fedflow_core::Config::default().smtp
        }
    }

    fn mail() -> MailMessage {
        MailMessage { subject: "a subject".into(), body: "a body\n".into() }
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_it_is_a_relay_without_a_password() {
        let cases = [
            ("mail.example.org", 465, true, Encryption::Implicit),
            ("mail.example.org", 587, true, Encryption::StartTls),
            ("mail.example.org", 587, false, Encryption::StartTls),
            ("mail.example.org", 2525, false, Encryption::StartTls),
            ("mail.example.org", 25, true, Encryption::StartTls),
            ("mail.example.org", 25, false, Encryption::IfOffered),
            ("localhost", 25, true, Encryption::Plain),
            ("LOCALHOST", 1025, false, Encryption::Plain),
            ("127.0.0.1", 587, true, Encryption::Plain),
            ("[::1]", 25, true, Encryption::Plain),
            ("localhost", 465, true, Encryption::Implicit),
            ("localhost.example.org", 587, true, Encryption::StartTls),
            ("127.0.0.1.example.org", 25, true, Encryption::StartTls),
        ];
        for (host, port, has_password, expected) in cases {
            assert_eq!(Encryption::of(host, port, has_password), expected, "{host}:{port}");
        }
    }

    #[test]
    fn the_sender_is_the_account_if_that_is_an_address() {
        let account = Account::read(&config("h", 465)).unwrap();
        assert_eq!(account.sender.email.to_string(), "ann@example.org");
        let user = "jo@example.org".to_owned();
        let account = Account::read(&SmtpConfig { user, ..config("h", 465) }).unwrap();
        assert_eq!(account.sender.email.to_string(), "jo@example.org");
        assert_eq!(account.describe(), "ann@example.org, bob@example.org through h:465 (TLS, with login)");
    }

    #[test]
    fn a_missing_server_or_receiver_is_told() {
        let read = |config: &SmtpConfig| {
            Account::read(config).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(read(&config(" ", 465)).contains("smtp.server-host"));
        assert!(read(&SmtpConfig { receiver: Vec::new(), ..config("h", 465) }).contains("smtp.receiver"));
        for bad in ["ann", "ann@a\r\nBcc: eve@example.org", "", "a b@c"] {
            let receiver = vec!["bob@example.org".into(), bad.to_owned()];
            assert!(read(&SmtpConfig { receiver, ..config("h", 465) }).contains("no mail address"), "{bad}");
        }
    }

    #[test]
    fn a_mail_cannot_add_headers() {
        let account = Account::read(&config("h", 465)).unwrap();
        let subject = "a\r\nBcc: eve@example.org\r\n\r\nbody".to_owned();
        let message = MailMessage { subject, body: ".\r\nQUIT\r\n".into() };
        let text = String::from_utf8(account.encode(&message).unwrap().formatted()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc") || line.starts_with("body")), "{text}");
        assert!(head.contains("Auto-Submitted: auto-generated"), "{text}");
    }

    #[test]
    fn a_server_that_repeats_the_password_is_not_repeated() {
        let account = Account::read(&config("h", 465)).unwrap();
        let login = STANDARD.encode("\0jo\0hunter2");
        let said = format!("535 AUTH PLAIN {login} is hunter2 ({})\u{1b}[2J", STANDARD.encode("hunter2"));
        let error = account.unsent(&said, None).to_string();
        assert_eq!(error, "h:465: 535 AUTH PLAIN (secret) is (secret) ((secret))\\u{1b}[2J");
    }

    /// Where TLS is required, a server without it gets nothing.
    #[test]
    fn no_password_is_sent_to_a_server_that_offers_no_encryption() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut out = stream.try_clone().unwrap();
            out.write_all(b"220 here\r\n").unwrap();
            let mut said = Vec::new();
            for line in BufReader::new(stream).lines() {
                let Ok(line) = line else { break };
                out.write_all(b"250-here\r\n250 AUTH PLAIN LOGIN\r\n").unwrap();
                said.push(line);
            }
            said
        });
        let mut account = Account::read(&config("127.0.0.1", port)).unwrap();
        account.encryption = Encryption::StartTls;
        let error = account.send(&mail()).unwrap_err();
        assert!(error.to_string().contains("STARTTLS"), "{error}");
        assert!(error.hint().is_some());
        let said = server.join().unwrap();
        assert!(said.iter().all(|line| line.starts_with("EHLO") || line.starts_with("QUIT")), "{said:?}");
    }
}
