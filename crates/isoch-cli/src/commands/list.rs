//! `isoch list`.

use isoch::DeviceInformation;
use isoch::emulated::bus_file::BusFile;
use serde::Serialize;

use crate::arguments;
use crate::failure::Failure;
use crate::files::bus_file;
use crate::output::print;
use crate::report::DeviceReport;
use crate::target;

/// `list --json`.
#[derive(Debug, Serialize)]
struct List {
    /// Rises when a field changes its name or its meaning.
    schema_version: u32,
    devices: Vec<Listed>,
    /// Devices that the bus file of the address plugs in later.
    later: Vec<Later>,
}

#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    device: DeviceReport,
    /// For emulated devices: what may follow the address, as in `?save=FILE.wav`.
    parameters: Vec<Parameter>,
}

#[derive(Debug, Serialize)]
struct Later {
    name: String,
    kind: String,
    /// The frame of the bus.
    plug_at: u64,
}

#[derive(Debug, Serialize)]
struct Parameter {
    name: &'static str,
    takes: &'static str,
    description: &'static str,
}

pub(crate) fn run(arguments: &arguments::List) -> Result<(), Failure> {
    let (devices, later) = match &arguments.address {
        None => (isoch::list(), Vec::new()),
        Some(address) => {
            let devices = isoch::list_at(address)?;
            let later = later(address, &devices);
            (devices, later)
        }
    };
    if arguments.json {
        let devices = devices.iter().map(listed).collect();
        let list = List { schema_version: 1, devices, later };
        let text = serde_json::to_string_pretty(&list).map_err(Failure::error)?;
        return print(&format!("{text}\n"));
    }
    let width = devices.iter().map(|device| device.address.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for device in &devices {
        let names =
            [&device.manufacturer, &device.product].map(|name| name.clone().unwrap_or_default()).join(" ");
        text.push_str(&format!(
            "{:width$}  {:04x}:{:04x}  {:10}  {}\n",
            device.address,
            device.vendor_id,
            device.product_id,
            device.speed,
            names.trim()
        ));
    }
    for Later { name, kind, plug_at } in &later {
        text.push_str(&format!("{name} ({kind}) is plugged in later, in frame {plug_at}\n"));
    }
    print(&text)
}

/// What the file of a bus plugs in after its beginning.
fn later(address: &str, plugged: &[DeviceInformation]) -> Vec<Later> {
    let path = address.strip_prefix("virtual:").and_then(|rest| rest.split('?').next());
    // Whether the file can be read has been found out.
    let bus = path.and_then(bus_file).and_then(|file| BusFile::load(file).ok());
    let devices = bus.map_or_else(Vec::new, |bus| bus.devices);
    // On a bus whose time passes, later may be now.
    let is_there = |name: &str| plugged.iter().any(|device| device.address.ends_with(&format!("/{name}")));
    let late = devices.into_iter().filter(|device| device.plug_at > 0 && !is_there(&device.name));
    late.map(|device| Later { name: device.name, kind: device.kind, plug_at: device.plug_at }).collect()
}

fn listed(device: &DeviceInformation) -> Listed {
    let kind = target::kind(&device.address);
    let parameters = kind.map_or(&[][..], |kind| kind.parameters).iter().map(|parameter| Parameter {
        name: parameter.name,
        takes: parameter.takes,
        description: parameter.description,
    });
    Listed { device: device.into(), parameters: parameters.collect() }
}
