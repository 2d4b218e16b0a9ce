// Answers HTTP requests, well and badly, as the path says.

addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
    const path = new URL(request.url).pathname;
    switch (path) {
        case '/echo':
            return new Response(request.body);
        case '/reversed':
            return new Response([...(await request.text())].reverse().join(''));
        case '/seen':
            return Response.json({ method: request.method, url: request.url, headers: Object.fromEntries(request.headers) });
        case '/drops':
            return new Response(drops(10));
        case '/spin':
            for (;;);
        default:
            return new Response(`no ${path}`, { status: 404 });
    }
}

/** So many pieces with pauses between them. */
function drops(count) {
    let at = 0;
    return new ReadableStream({
        async pull(controller) {
            await new Promise((done) => setTimeout(done, 20));
            controller.enqueue(new TextEncoder().encode(`drop ${at}\n`));
            at += 1;
            if (at === count) controller.close();
        },
    });
}
