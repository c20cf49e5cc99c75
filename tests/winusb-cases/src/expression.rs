//! Reading expressions and arguments.

use crate::case::{Argument, Comparison, Expected, Expression, Place};
use crate::functions::Kind;
use crate::tokens::Token;

/// The words of a step that have not been read.
pub(crate) struct Words<'a> {
    rest: &'a [Token],
}

impl<'a> Words<'a> {
    pub(crate) fn new(tokens: &'a [Token]) -> Self {
        Words { rest: tokens }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.rest.first()
    }

    pub(crate) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Takes a sign, if it is the next word.
    pub(crate) fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        if found {
            self.next();
        }
        found
    }

    /// Takes a name, if it is the next word.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Name(next)) if next == word);
        if found {
            self.next();
        }
        found
    }

    pub(crate) fn demand(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("`{sign}` is missing before {}", self.place())) }
    }

    pub(crate) fn name(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Name(name)) => Ok(name.clone()),
            Some(other) => Err(format!("a name should stand in the place of `{other}`")),
            None => Err("a name is missing at the end".into()),
        }
    }

    pub(crate) fn end(&self) -> Result<(), String> {
        if self.is_empty() { Ok(()) } else { Err(format!("too much: {}", self.place())) }
    }

    fn place(&self) -> String {
        self.peek().map_or("the end of the line".into(), |token| format!("`{token}`"))
    }

    pub(crate) fn expression(&mut self) -> Result<Expression, String> {
        let mut left = self.product()?;
        loop {
            let sign = if self.take("+") {
                '+'
            } else if self.take("-") {
                '-'
            } else {
                return Ok(left);
            };
            left = Expression::Binary(Box::new(left), sign, Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Expression, String> {
        let mut left = self.factor()?;
        while self.take("*") {
            left = Expression::Binary(Box::new(left), '*', Box::new(self.factor()?));
        }
        Ok(left)
    }

    fn factor(&mut self) -> Result<Expression, String> {
        if self.take("-") {
            let negated = self.factor()?;
            return Ok(Expression::Binary(Box::new(Expression::Number(0)), '-', Box::new(negated)));
        }
        if self.take("(") {
            let inner = self.expression()?;
            self.demand(")")?;
            return Ok(inner);
        }
        if let Some(Token::Number(number)) = self.peek() {
            self.next();
            return Ok(Expression::Number(*number));
        }
        let name = self.name()?;
        Ok(match name.as_str() {
            "now" => Expression::Now,
            "TRUE" => Expression::Number(1),
            "FALSE" | "null" => Expression::Number(0),
            // No table has an entry for it, and nobody's memory is there.
            "random" => Expression::Number(0x5eed_0bac),
            "signalled" | "size" | "address" if self.take("(") => {
                let variable = self.name()?;
                self.demand(")")?;
                match name.as_str() {
                    "signalled" => Expression::Signalled(variable),
                    "size" => Expression::Size(variable),
                    _ => Expression::Address(variable),
                }
            }
            "sum" if self.take("(") => {
                let variable = self.name()?;
                self.demand(".")?;
                let field = self.name()?;
                self.demand(")")?;
                Expression::Sum(variable, field)
            }
            _ => Expression::Place(self.place_of(name)?),
        })
    }

    /// The rest of `name[index].field` or `name.field[index]`.
    pub(crate) fn place_of(&mut self, name: String) -> Result<Place, String> {
        let mut place = Place { name, index: None, field: None };
        loop {
            if place.index.is_none() && self.take("[") {
                let from = Box::new(self.expression()?);
                let to = if self.take("..") { Some(Box::new(self.expression()?)) } else { None };
                self.demand("]")?;
                place.index = Some((from, to));
            } else if place.field.is_none() && self.take(".") {
                place.field = Some(self.name()?);
            } else {
                return Ok(place);
            }
        }
    }

    pub(crate) fn comparison(&mut self) -> Result<Comparison, String> {
        let known = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<", Comparison::Less),
            ("<=", Comparison::AtMost),
            (">", Comparison::More),
            (">=", Comparison::AtLeast),
        ];
        let found = known.into_iter().find(|(sign, _)| self.take(sign));
        found.map(|(_, comparison)| comparison).ok_or_else(|| format!("no comparison at {}", self.place()))
    }

    /// An argument for a parameter of this kind.
    pub(crate) fn argument(&mut self, kind: Kind) -> Result<Argument, String> {
        if let Some(Token::Text(text)) = self.peek() {
            self.next();
            return match kind {
                Kind::Text => Ok(Argument::Text(text.clone())),
                _ => Err(format!("a text cannot be passed as {kind:?}")),
            };
        }
        if self.take("&") {
            let name = self.name()?;
            let value = if self.take("=") { Some(self.expression()?) } else { None };
            return match kind {
                Kind::HandleOut
                | Kind::ByteOut
                | Kind::LongOut
                | Kind::WideOut
                | Kind::SizeOut
                | Kind::Bytes => Ok(Argument::Out(name, value)),
                _ => Err(format!("&{name} cannot be passed as {kind:?}")),
            };
        }
        if kind == Kind::Setup {
            if !self.take_word("setup") {
                return Err("a setup packet is setup(RequestType, Request, Value, Index, Length)".into());
            }
            self.demand("(")?;
            let mut fields = vec![self.expression()?];
            while self.take(",") {
                fields.push(self.expression()?);
            }
            self.demand(")")?;
            return match fields.len() {
                5 => Ok(Argument::Setup(fields)),
                count => Err(format!("a setup packet has 5 fields, not {count}")),
            };
        }
        Ok(Argument::Value(self.expression()?))
    }

    /// What stands behind `=>`.
    pub(crate) fn expected(&mut self) -> Result<Expected, String> {
        for (word, with_code) in [("FALSE", true), ("NULL", false), ("INVALID", true)] {
            if self.take_word(word) {
                let codes = self.codes()?;
                if with_code && codes.is_empty() {
                    return Err(format!("{word} needs a last error: `=> {word} 87`"));
                }
                return Ok(match word {
                    "FALSE" => Expected::False(codes),
                    "NULL" => Expected::Null(codes),
                    _ => Expected::Invalid(codes),
                });
            }
        }
        if self.take_word("TRUE") {
            return Ok(Expected::True);
        }
        // Accepted, and not done yet.
        if self.take_word("pending") {
            return Ok(Expected::False(vec![997]));
        }
        Ok(Expected::Value(self.expression()?))
    }

    fn codes(&mut self) -> Result<Vec<u32>, String> {
        let mut codes = Vec::new();
        while let Some(Token::Number(number)) = self.peek() {
            self.next();
            codes.push(u32::try_from(*number).map_err(|_| format!("{number} is no error code"))?);
            if !self.take("|") {
                break;
            }
        }
        Ok(codes)
    }
}
