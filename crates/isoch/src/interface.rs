//! Interfaces, alternate settings, and the endpoints in them.
//!
//! Why is an alternate setting an object, and not a call on the interface? Because endpoints exist only in
//! one: an endpoint keeps its setting alive, and with it the claim, so no order of drops leaves a stream
//! on a setting that is no longer in force.

use isoch_core::rules::descriptors::{self, Endpoint, TransferType};

use crate::device::Device;
use crate::endpoint::{EndpointDirection, In, IsochEndpoint, IsochIn, IsochOut, Out};
use crate::sync::{Arc, AtomicU8, Ordering};
use crate::text::listed;
use crate::transfer::DataEndpoint;
use crate::{Direction, Error};

const BULK_OR_INTERRUPT: &[TransferType] = &[TransferType::Bulk, TransferType::Interrupt];

/// A claimed interface. Cheap to clone.
#[derive(Clone)]
pub struct Interface {
    claim: Arc<Claim>,
}

struct Claim {
    device: Device,
    number: u8,
    /// The number of the alternate setting in force.
    setting: AtomicU8,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.device.release(self.number);
    }
}

impl Interface {
    pub(crate) fn new(device: Device, number: u8) -> Self {
        // A device is configured with setting 0 of everything (USB 2.0 §9.6.5), and who lets go of an interface
        // puts it back; 0 is also what the descriptors begin with.
        let alternates = device.configuration().interface(number).map(|found| &found.alternates);
        let first = alternates.and_then(|alternates| alternates.iter().map(|a| a.number).min()).unwrap_or(0);
        Interface { claim: Arc::new(Claim { device, number, setting: AtomicU8::new(first) }) }
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.claim.number
    }

    /// Its device.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.claim.device
    }

    /// Its descriptors, all alternate settings.
    #[must_use]
    pub fn descriptor(&self) -> &descriptors::Interface {
        let configuration = self.claim.device.configuration();
        let found = configuration.interface(self.claim.number);
        found.unwrap_or_else(|| unreachable!("only interfaces that the configuration has are claimed"))
    }

    /// Puts the interface to an alternate setting. Blocks until the device has answered.
    ///
    /// # Errors
    /// [`Error::NoSuchSetting`]; [`Error::NoBandwidth`]; [`Error::Busy`] while transfers are pending on it;
    /// [`Error::Stall`] or [`Error::Gone`] from the device.
    pub fn alternate_setting(&self, number: u8) -> Result<AlternateSetting, Error> {
        let descriptor = self.descriptor();
        if descriptor.alternate(number).is_none() {
            return Err(Error::NoSuchSetting {
                interface: self.number(),
                setting: number,
                available: listed(descriptor.alternates.iter().map(|alternate| alternate.number)),
            });
        }
        self.device().bus().set_alternate_setting(self.number(), number)?;
        self.claim.setting.store(number, Ordering::Release);
        Ok(AlternateSetting { interface: self.clone(), number })
    }

    /// The alternate setting that is in force, without asking the device: after the claim number 0 (or the
    /// lowest, where there is no 0), then the last that [`alternate_setting`](Self::alternate_setting) chose.
    #[must_use]
    pub fn setting_in_force(&self) -> AlternateSetting {
        AlternateSetting { interface: self.clone(), number: self.claim.setting.load(Ordering::Acquire) }
    }
}

impl std::fmt::Debug for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "interface {} of {:?}", self.number(), self.device())
    }
}

/// An alternate setting that was put in force.
#[derive(Clone, Debug)]
pub struct AlternateSetting {
    interface: Interface,
    number: u8,
}

impl AlternateSetting {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Its interface.
    #[must_use]
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Its device.
    #[must_use]
    pub fn device(&self) -> &Device {
        self.interface.device()
    }

    /// Its descriptor.
    #[must_use]
    pub fn descriptor(&self) -> &descriptors::AlternateSetting {
        let found = self.interface.descriptor().alternate(self.number);
        found.unwrap_or_else(|| unreachable!("only settings that the interface has are put in force"))
    }

    /// Opens an isochronous OUT endpoint.
    ///
    /// # Errors
    /// [`Error::NoSuchEndpoint`], with a list of what there is; [`Error::Timing`] if its descriptor makes
    /// no sense; [`Error::Busy`] if it is open already; [`Error::SettingChanged`] if another setting was chosen since.
    pub fn isoch_out(&self, address: u8) -> Result<IsochOut, Error> {
        self.isoch::<Out>(address, "isochronous OUT")
    }

    /// Opens an isochronous IN endpoint.
    ///
    /// # Errors
    /// As [`isoch_out`](Self::isoch_out).
    pub fn isoch_in(&self, address: u8) -> Result<IsochIn, Error> {
        self.isoch::<In>(address, "isochronous IN")
    }

    fn isoch<D: EndpointDirection>(
        &self,
        address: u8,
        wanted: &'static str,
    ) -> Result<IsochEndpoint<D>, Error> {
        let endpoint = self.endpoint(address, D::DIRECTION, &[TransferType::Isochronous], wanted)?;
        let timing = endpoint.timing(self.device().information().speed)?;
        IsochEndpoint::open(self.clone(), address, timing)
    }

    /// Opens a bulk OUT endpoint.
    ///
    /// # Errors
    /// [`Error::NoSuchEndpoint`], with a list of what there is; [`Error::SettingChanged`] if another setting was chosen
    /// since.
    pub fn bulk_out(&self, address: u8) -> Result<DataEndpoint<Out>, Error> {
        self.data(address, &[TransferType::Bulk], "bulk OUT")
    }

    /// Opens a bulk IN endpoint.
    ///
    /// # Errors
    /// As [`bulk_out`](Self::bulk_out).
    pub fn bulk_in(&self, address: u8) -> Result<DataEndpoint<In>, Error> {
        self.data(address, &[TransferType::Bulk], "bulk IN")
    }

    /// Opens an interrupt OUT endpoint.
    ///
    /// # Errors
    /// As [`bulk_out`](Self::bulk_out).
    pub fn interrupt_out(&self, address: u8) -> Result<DataEndpoint<Out>, Error> {
        self.data(address, &[TransferType::Interrupt], "interrupt OUT")
    }

    /// Opens an interrupt IN endpoint.
    ///
    /// # Errors
    /// As [`bulk_out`](Self::bulk_out).
    pub fn interrupt_in(&self, address: u8) -> Result<DataEndpoint<In>, Error> {
        self.data(address, &[TransferType::Interrupt], "interrupt IN")
    }

    /// Opens an OUT endpoint that is bulk or interrupt.
    ///
    /// # Errors
    /// As [`bulk_out`](Self::bulk_out).
    pub fn data_out(&self, address: u8) -> Result<DataEndpoint<Out>, Error> {
        self.data(address, BULK_OR_INTERRUPT, "bulk or interrupt OUT")
    }

    /// Opens an IN endpoint that is bulk or interrupt.
    ///
    /// # Errors
    /// As [`bulk_out`](Self::bulk_out).
    pub fn data_in(&self, address: u8) -> Result<DataEndpoint<In>, Error> {
        self.data(address, BULK_OR_INTERRUPT, "bulk or interrupt IN")
    }

    fn data<D: EndpointDirection>(
        &self,
        address: u8,
        kinds: &[TransferType],
        wanted: &'static str,
    ) -> Result<DataEndpoint<D>, Error> {
        self.endpoint(address, D::DIRECTION, kinds, wanted)?;
        Ok(DataEndpoint::new(self.clone(), address))
    }

    fn endpoint(
        &self,
        address: u8,
        direction: Direction,
        kinds: &[TransferType],
        wanted: &'static str,
    ) -> Result<&Endpoint, Error> {
        if self.interface.claim.setting.load(Ordering::Acquire) != self.number {
            return Err(Error::SettingChanged);
        }
        let descriptor = self.descriptor();
        match descriptor.endpoint(address) {
            Some(endpoint)
                if endpoint.direction() == direction && kinds.contains(&endpoint.transfer_type()) =>
            {
                Ok(endpoint)
            }
            _ => Err(Error::NoSuchEndpoint {
                interface: self.interface.number(),
                setting: self.number,
                endpoint: address,
                wanted,
                available: listed(descriptor.endpoints.iter().map(describe)),
            }),
        }
    }
}

fn describe(endpoint: &Endpoint) -> String {
    let kind = match endpoint.transfer_type() {
        TransferType::Control => "control",
        TransferType::Isochronous => "isochronous",
        TransferType::Bulk => "bulk",
        TransferType::Interrupt => "interrupt",
    };
    format!("{:#04x} ({kind} {})", endpoint.address, endpoint.direction())
}
