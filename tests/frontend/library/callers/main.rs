// The calls of model.py's lines.
mod demo;

fn line<T>(name: &str, values: &[T]) {
    let size = core::mem::size_of_val(values);
    let bytes = unsafe { core::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size) };
    print!("{name} ");
    for byte in bytes {
        print!("{byte:02x}");
    }
    println!();
}

fn refused(result: Result<(), demo::Error>) {
    match result {
        Ok(()) => println!("taken"),
        Err(demo::Error::Status(status)) => {
            println!("status {status}: {}", demo::Error::Status(status))
        }
        Err(error) => println!("{error}"),
    }
}

fn show(site: i32, text: &str, values: &[demo::Printed]) {
    println!("{site} {text} {:?} {:?}", values[0].elements(), values[0].shape());
    println!("{:?} {:?}", values[1].elements(), values[1].shape());
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let workspace = &mut [demo::Block::ZERO; demo::Block::MOST];
    let x: Vec<f32> = (0..12).map(|i| (i as f32 - 5.0) / 8.0).collect();
    let w = [1.0, 2.0, -0.5, 0.25, 3.0, -1.0];
    let (mut more, mut norm, mut out) = ([0.0; 2], 0.0, [0.0; 8]);
    demo::affine(&[0.5, -0.125], &w, &x, 1.5, &mut more, &mut norm, &mut out, workspace)?;
    line("out", &out);
    line("norm", &[norm]);
    line("more", &more);

    let flags = [true, false, true, true, false];
    let counts = [1, -2, 3, i32::MAX, i32::MIN];
    let octets = vec![0, 1, 127, 128, 255];
    let (mut out_0, mut out_1, mut out_2) = ([false; 5], [0; 5], [0; 5]);
    let (mut out_3, mut out_4, mut out_5) = (0, [], true);
    demo::mix(
        &flags, &counts, &octets, -9007199254740993, &[], true, &mut out_0, &mut out_1, &mut out_2,
        &mut out_3, &mut out_4, &mut out_5, workspace,
    )?;
    line("mix0", &out_0);
    line("mix1", &out_1);
    line("mix2", &out_2);
    line("mix3", &[out_3]);
    line("mix4", &out_4);
    line("mix5", &[out_5]);

    let values = [0.1, 0.25, -3.0, 1e300];
    let mut picked = [0.0; 2];
    demo::pick(&values, &[3, -4], &mut picked, workspace)?;
    line("pick", &picked);

    let y = [1.0, -1.0, 0.5, 2.0];
    let mut state = demo::State::new()?;
    let (mut loss, mut predicted) = (0.0, [0.0; 4]);
    for _ in 0..3 {
        demo::fit(&mut state, &x, &y, &mut loss, workspace)?;
        line("fit", &[loss]);
    }
    let mut saved = [0; demo::State::BYTES];
    state.save(&mut saved)?;
    demo::predict(&state, &x, &mut predicted, workspace)?;
    line("predict", &predicted);
    line("saved", &saved);
    demo::tick(&mut state, workspace)?;
    demo::fit(&mut state, &x, &y, &mut loss, workspace)?;
    line("fit", &[loss]);
    line("steps", &[state.steps]);
    state.load(&saved)?;
    demo::predict(&state, &x, &mut predicted, workspace)?;
    line("predict", &predicted);
    line("steps", &[state.steps]);
    state.init()?;
    demo::predict(&state, &x, &mut predicted, workspace)?;
    line("predict", &predicted);

    refused(demo::predict(&state, &x[1..], &mut predicted, workspace));
    refused(demo::predict(&state, &x, &mut predicted[1..], workspace));
    refused(demo::affine(
        &[0.5, -0.125], &w, &x, 1.5, &mut more, &mut norm, &mut out, &mut [],
    ));
    refused(demo::pick(&values, &[0, 7], &mut picked, workspace));
    refused(state.load(&saved[..3]));
    unsafe { demo::set_print(Some(show)) };
    let mut shouted = 0.0;
    demo::shout(1.25, &mut shouted, workspace)?;
    unsafe { demo::set_print(None) };
    demo::shout(1.25, &mut shouted, workspace)?;
    assert_eq!(shouted, 2.25);
    Ok(())
}
