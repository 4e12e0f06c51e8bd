//! Manifests: what a tag means, and saying what it means.

use super::access::Access;
use super::call::{Body, Call, Method};
use super::client::Registries;
use super::error::RegistryError;
use crate::image::choice;
use crate::image::manifest::{Document, media_type};
use crate::image::{Digest, Manifest, Platform, Reference, Repository, Tag};
use crate::net::Response;

/// Limit for a manifest. Source: OCI distribution specification, "Pushing manifests": registries should take 4 MiB.
const LIMIT_BYTES: u64 = 4 << 20;
/// What can be read. Source: OCI image specification, media-types.md.
const ACCEPT: [&str; 4] =
    [media_type::INDEX, media_type::MANIFEST, media_type::DOCKER_LIST, media_type::DOCKER_MANIFEST];
/// The header with the digest of what an answer is about. Source: OCI distribution specification, "Pulling manifests".
pub(super) const CONTENT_DIGEST: &str = "Docker-Content-Digest";

/// A manifest or an index, as a registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its digest, which was checked.
    pub digest: Digest,
    /// What it says to be.
    pub media_type: String,
    /// Exactly its bytes.
    pub bytes: Vec<u8>,
}

/// An image of one platform, as a registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of what the reference leads to: of the index, if it is one.
    pub digest: Digest,
    /// The manifest of the image, as the registry has it.
    pub fetched: Fetched,
    /// The same, parsed.
    pub manifest: Manifest,
}

/// What a tag promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagKind {
    /// It follows from the content: other content under it is an error.
    Content,
    /// It is for people, such as the commit: what is there first stays.
    Commit,
}

/// Indexes of indexes are followed this far.
const DEPTH: usize = 3;

/// What became of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    /// It is new.
    Written,
    /// It meant the same already.
    Existing,
    /// It means something else, and was left alone.
    KeptOther(Digest),
}

impl Registries {
    /// Digest and media type of what a reference leads to; `None` if there is nothing.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached, or gives another digest than that of the reference.
    pub fn head_manifest(&self, reference: &Reference) -> Result<Option<(Digest, String)>, RegistryError> {
        let doing = format!("look for `{reference}`");
        let access = Access::pull(&reference.repository);
        let response = self.ask(Method::Head, reference, &access, &doing)?;
        let digest = match response.status {
            200 => response.header(CONTENT_DIGEST).and_then(|text| text.parse::<Digest>().ok()),
            404 => return Ok(None),
            // Registries without HEAD, or without the digest in its answer: the manifest itself is small.
            405 | 501 => None,
            _ => {
                return Err(self.refused(
                    &manifest_call(self, Method::Head, reference, &access, &doing)?,
                    response,
                    1,
                ));
            }
        };
        let Some(digest) = digest else {
            return Ok(self.manifest(reference)?.map(|found| (found.digest, found.media_type)));
        };
        self.expect(reference, digest)?;
        let media_type = content_type(&response);
        Ok(Some((digest, media_type)))
    }

    /// What a reference leads to; `None` if there is nothing. The bytes have the digest.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached, or the digest is wrong.
    pub fn manifest(&self, reference: &Reference) -> Result<Option<Fetched>, RegistryError> {
        let doing = format!("read `{reference}`");
        let access = Access::pull(&reference.repository);
        let response = self.ask(Method::Get, reference, &access, &doing)?;
        match response.status {
            200 => {}
            404 => return Ok(None),
            _ => {
                return Err(self.refused(
                    &manifest_call(self, Method::Get, reference, &access, &doing)?,
                    response,
                    1,
                ));
            }
        }
        let told = response.header(CONTENT_DIGEST).map(|text| self.shown(text));
        let media_type = content_type(&response);
        let bytes = response.into_bytes(LIMIT_BYTES).map_err(|source| RegistryError::Net {
            doing: doing.clone(),
            attempts: 1,
            source,
        })?;
        let digest = Digest::of(&bytes);
        self.expect(reference, digest)?;
        if let Some(got) = told.filter(|told| *told != digest.to_string()) {
            return Err(wrong_digest(reference, digest, got));
        }
        self.set_meant(reference, digest);
        Ok(Some(Fetched { digest, media_type, bytes }))
    }

    /// The image of a platform that a reference leads to.
    ///
    /// # Errors
    /// When nothing has this name, or no image is for the platform, and as for [`Registries::manifest`].
    pub fn image(&self, reference: &Reference, want: &Platform) -> Result<Image, RegistryError> {
        let absent = |reference: &Reference| RegistryError::Absent { reference: reference.clone() };
        let mut at = reference.clone();
        let mut first = None;
        // An index may lead to another.
        for _ in 0..DEPTH {
            let fetched = self.manifest(&at)?.ok_or_else(|| absent(&at))?;
            let first = *first.get_or_insert(fetched.digest);
            let document = Document::parse(&fetched.bytes)
                .map_err(|source| RegistryError::Manifest { reference: at.clone(), source })?;
            match document {
                Document::Manifest(manifest) => {
                    return Ok(Image { digest: first, fetched, manifest: *manifest });
                }
                Document::Index(index) => {
                    let entry = choice::choose(&index, want).map_err(|have| RegistryError::Platform {
                        reference: reference.clone(),
                        want: want.clone(),
                        have,
                    })?;
                    at = Reference::by_digest(reference.repository.clone(), entry.digest);
                }
            }
        }
        Err(RegistryError::Nested { reference: reference.clone(), depth: DEPTH })
    }

    /// Write a manifest or an index. Everything that it names must be there before.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached, or says another digest.
    pub fn put_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, RegistryError> {
        self.put(reference, media_type, bytes).map(|_| Digest::of(bytes))
    }

    /// Give a tag to a manifest, unless it has a meaning already.
    ///
    /// # Errors
    /// When a content tag means something else, and as for [`Registries::put_manifest`].
    pub fn tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        kind: TagKind,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Tagged, RegistryError> {
        let reference = Reference::by_tag(repository.clone(), tag.clone());
        let digest = Digest::of(bytes);
        match self.meaning(&reference, tag, kind, digest)? {
            Some(outcome) => Ok(outcome),
            None => self.tag_new(repository, tag, kind, media_type, bytes),
        }
    }

    /// Give a tag that had no meaning to a manifest.
    pub(super) fn tag_new(
        &self,
        repository: &Repository,
        tag: &Tag,
        kind: TagKind,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Tagged, RegistryError> {
        let reference = Reference::by_tag(repository.clone(), tag.clone());
        let digest = Digest::of(bytes);
        match self.put(&reference, media_type, bytes) {
            Ok(_) => Ok(Tagged::Written),
            // Another run may have been faster, and the repository may not let tags be moved.
            Err(error @ RegistryError::Refused { status: 400 | 403 | 409 | 412 | 422, .. }) => {
                self.meaning(&reference, tag, kind, digest)?.ok_or(error)
            }
            // It may have been written all the same, and the answer was lost.
            Err(error) => match self.head_manifest(&reference) {
                Ok(Some((stored, _))) if stored == digest => Ok(Tagged::Written),
                _ => Err(error),
            },
        }
    }

    /// What a tag means now; `None` if nothing.
    pub(super) fn meaning(
        &self,
        reference: &Reference,
        tag: &Tag,
        kind: TagKind,
        want: Digest,
    ) -> Result<Option<Tagged>, RegistryError> {
        if self.meant(reference) == Some(want) {
            return Ok(Some(Tagged::Existing));
        }
        match self.head_manifest(reference)? {
            None => Ok(None),
            Some((digest, _)) if digest == want => Ok(Some(Tagged::Existing)),
            Some((digest, _)) if kind == TagKind::Commit => Ok(Some(Tagged::KeptOther(digest))),
            Some((digest, _)) => Err(RegistryError::TagTaken {
                repository: reference.repository.clone(),
                tag: tag.clone(),
                digest,
            }),
        }
    }

    /// Write a manifest. Returns the answer, for what else it says.
    pub(super) fn put(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Response, RegistryError> {
        let doing = format!("write `{reference}`");
        let digest = Digest::of(bytes);
        self.expect(reference, digest)?;
        let access = Access::push(&reference.repository);
        let url = self.url(&reference.repository, &format!("manifests/{}", reference.version()))?;
        let call = Call::new(Method::Put, url, &access, &doing)
            .header("Content-Type", media_type)
            .body(Body::Bytes(bytes));
        let response = self.send(&call)?;
        // Source: OCI distribution specification, "Pushing manifests": 201.
        if response.status != 201 {
            return Err(self.refused(&call, response, 1));
        }
        match response.header(CONTENT_DIGEST).map(|text| self.shown(text)) {
            Some(told) if told == digest.to_string() => {}
            Some(got) => return Err(wrong_digest(reference, digest, got)),
            // Nothing says what was stored, so it is asked for.
            None => {
                let stored = Reference::by_digest(reference.repository.clone(), digest);
                if self.head_manifest(&stored)?.is_none() {
                    return Err(wrong_digest(reference, digest, "of something else".into()));
                }
            }
        }
        Ok(response)
    }

    fn ask(
        &self,
        method: Method,
        reference: &Reference,
        access: &Access,
        doing: &str,
    ) -> Result<Response, RegistryError> {
        self.send(&manifest_call(self, method, reference, access, doing)?)
    }

    /// Compare with the digest in the reference.
    fn expect(&self, reference: &Reference, got: Digest) -> Result<(), RegistryError> {
        match reference.digest {
            Some(want) if want != got => Err(wrong_digest(reference, want, got.to_string())),
            _ => Ok(()),
        }
    }
}

fn manifest_call<'a>(
    client: &Registries,
    method: Method,
    reference: &Reference,
    access: &'a Access,
    doing: &'a str,
) -> Result<Call<'a>, RegistryError> {
    let url = client.url(&reference.repository, &format!("manifests/{}", reference.version()))?;
    Ok(Call::new(method, url, access, doing).header("Accept", ACCEPT.join(", ")))
}

fn wrong_digest(reference: &Reference, want: Digest, got: String) -> RegistryError {
    let (host, what) = (reference.repository.host.clone(), format!("`{reference}`"));
    RegistryError::Digest { host, what, want, got }
}

/// The media type without its parameters.
fn content_type(response: &Response) -> String {
    let whole = response.header("Content-Type").unwrap_or_default();
    whole.split(';').next().unwrap_or_default().trim().to_string()
}
